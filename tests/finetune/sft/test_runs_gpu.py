"""Whole runs on one GPU: train, save, resume and answer, for each precision and adapter."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from finetune.generate.decode import generate
from finetune.generate.sampling import Sampling
from tests.finetune.runs import metrics, run, tensors, variant

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
TOLERANCE = {
    "fp32": 1e-4,
    "bf16": 2e-2,
    "bf16-pure": 2e-2,
    "fp8": 5e-2,
}  # attention's backward pass sums in any order on CUDA


@pytest.mark.parametrize("compiled", [False, "auto"])
@pytest.mark.parametrize("adapter", ["none", "lora", "dora", "rslora", "qlora"])
@pytest.mark.parametrize("precision", TOLERANCE)
def test_trains_saves_resumes_and_answers(
    toy_recipe: dict[str, Any], precision: str, adapter: str, compiled: bool | str
) -> None:
    if adapter == "qlora":
        pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    if precision == "fp8":
        pytest.importorskip("torchao", reason="torchao is not installed")
        if adapter != "none":
            pytest.skip("adapters train in bfloat16")
    if compiled and (precision == "fp32" or adapter == "qlora"):
        pytest.skip("auto compiles nothing here")
    changes = {"run__precision": precision, "adapter__kind": adapter, "model__compile": compiled}
    recipe = variant(toy_recipe, "gpu", **changes, optim__updates=4, optim__warmup_ratio=0.0)
    assert run(recipe) == 0
    file = "model/model.safetensors" if adapter == "none" else "adapter/adapter_model.safetensors"
    whole, first = metrics(recipe), tensors(recipe, file)
    assert [record["update"] for record in whole] == [1, 2, 3, 4]
    assert whole[-1]["loss"] < whole[0]["loss"]
    folder = Path(recipe["run"]["output"])
    assert answer_of(folder, recipe["model"]["path"])
    shutil.rmtree(folder / "checkpoints" / "update-00000004", ignore_errors=True)
    shutil.rmtree(folder / ("model" if adapter == "none" else "adapter"))
    (folder / "summary.json").unlink()
    assert run(recipe) == 0
    assert [record["update"] for record in metrics(recipe)] == [1, 2, 3, 4]
    for mine, truth in zip(metrics(recipe), whole, strict=True):
        assert mine["loss"] == pytest.approx(truth["loss"], rel=TOLERANCE[precision])
    for name, tensor in tensors(recipe, file).items():
        error = (tensor.float() - first[name].float()).norm()
        assert error <= TOLERANCE[precision] * first[name].float().norm() + 1e-4


def answer_of(folder: Path, base: str) -> list[int]:
    """Greedy tokens of the tuned model; an adapter is merged first."""
    from finetune.folders.merge import merge_adapter
    from finetune.folders.open_folder import open_chat_tokenizer, open_weights

    if (folder / "adapter").exists():
        merge_adapter(base, folder / "adapter", folder / "merged")
    tuned = folder / ("merged" if (folder / "adapter").exists() else "model")
    words = open_chat_tokenizer(tuned)
    [answer] = generate(open_weights(tuned), [[1, 5, 9]], [0], words.tokenizer, [], Sampling(8, temperature=0))
    shutil.rmtree(folder / "merged", ignore_errors=True)
    return answer.ids
