"""What a run saves is in the base's precision, unless the recipe says otherwise."""

from pathlib import Path
from typing import Any

import pytest
import torch

from finetune.folders import weights
from finetune.folders.merge import copy_tokenizer
from finetune.llama.config import LlamaConfig
from tests.finetune.runs import run, tensors, variant


@pytest.fixture(scope="module")
def half_base(tmp_path_factory: pytest.TempPathFactory, toy_model: Path) -> Path:
    """The toy model in bfloat16."""
    folder = tmp_path_factory.mktemp("model") / "half"
    state = weights.load_model(toy_model, dtype=torch.bfloat16).state_dict()
    weights.save_model(state, LlamaConfig.from_folder(toy_model), folder)
    copy_tokenizer([toy_model], folder)
    return folder


def dtypes(recipe: dict[str, Any], file: str = "model/model.safetensors") -> set[torch.dtype]:
    return {tensor.dtype for tensor in tensors(recipe, file).values()}


def test_a_model_is_saved_in_its_bases_precision(toy_recipe: dict[str, Any], half_base: Path) -> None:
    toy_recipe["optim"]["updates"] = 2  # the first at rate 0
    single = variant(toy_recipe, "single", run__precision="bf16")
    half = variant(toy_recipe, "half", model__path=str(half_base))
    asked = variant(toy_recipe, "asked", model__path=str(half_base), run__save_dtype="fp32")
    pure = variant(toy_recipe, "pure", run__precision="bf16-pure", run__save_dtype="fp16")
    assert run(single) == run(half) == run(asked) == run(pure) == 0
    assert (dtypes(single), dtypes(half)) == ({torch.float32}, {torch.bfloat16})
    assert (dtypes(asked), dtypes(pure)) == ({torch.float32}, {torch.float16})
    whole, rounded = tensors(asked), tensors(half)
    assert all(torch.equal(rounded[name], tensor.bfloat16()) for name, tensor in whole.items())
    assert any(not torch.equal(rounded[name].float(), tensor) for name, tensor in whole.items())
    assert LlamaConfig.from_folder(Path(half["run"]["output"]) / "model").vocab_size == len(rounded["lm_head.weight"])
