"""A tuned model stops at its template's end of turn and at its base's end of text, wherever it is loaded."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LogitsProcessor,
    PreTrainedTokenizerFast,
)

from camelid.app.cli import main
from conversations.tokens.template import TEMPLATES
from finetune.folders import weights
from finetune.llama.config import LlamaConfig
from tests.finetune.runs import run, variant

END_OF_TEXT, END_OF_MESSAGE = "<|end_of_text|>", "<|eom_id|>"
# What the published formats end an answer with.
ENDS = dict.fromkeys(("vicuna_v1.1", "alpaca", "llama-2", "mistral"), "</s>")
ENDS |= {"llama-3": "<|eot_id|>", "chatml": "<|im_end|>"}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base of Llama 3's habits: a list of ends, defaults of its own, a tokenizer that ends texts, not turns."""
    special = ["<s>", END_OF_TEXT, END_OF_MESSAGE, *dict.fromkeys(c for t in TEMPLATES.values() for c in t.control)]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys([*special, *letters]))}
    backend = Tokenizer(models.BPE(vocabulary, []))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in dict.fromkeys(special)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token=END_OF_TEXT)
    folder = tmp_path_factory.mktemp("model") / "base"
    shape = LlamaConfig(len(tokenizer), 16, 32, 1, 2, max_position_embeddings=512, bos_token_id=0, eos_token_id=1)
    weights.save_model(weights.init_model(shape, seed=0).state_dict(), shape, folder)
    tokenizer.save_pretrained(folder)
    defaults = {"bos_token_id": 0, "eos_token_id": [1, 2], "do_sample": True, "temperature": 0.6, "top_p": 0.9}
    (folder / "generation_config.json").write_text(json.dumps(defaults | {"transformers_version": "4.40.0"}))
    return folder


@pytest.fixture(autouse=True)
def quick(one_thread: None) -> Iterator[None]:
    yield


class Say(LogitsProcessor):  # type: ignore[misc]
    """Has the model say these tokens, the last one again and again."""

    def __init__(self, *ids: int) -> None:
        self.left = list(ids)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        said = self.left.pop(0) if len(self.left) > 1 else self.left[0]
        return torch.full_like(scores, -1e4).index_fill(1, torch.tensor([said]), 0.0)


def require_stops(folder: Path, end: str) -> None:
    """transformers' `generate` with nothing but the folder ends at each of the tokens, and only there."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert tokenizer.eos_token == end
    chat = tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], add_generation_prompt=True)
    prompt = torch.tensor([chat["input_ids"]])
    letter = tokenizer.convert_tokens_to_ids("a")
    for token, length in ((end, 3), (END_OF_TEXT, 3), (END_OF_MESSAGE, 3), ("b", 8)):
        words = Say(letter, letter, tokenizer.convert_tokens_to_ids(token))
        said = model.generate(prompt, max_new_tokens=8, logits_processor=[words])[0, prompt.shape[1] :]
        assert len(said) == length, (token, said)
    assert model.generation_config.do_sample and model.generation_config.temperature == 0.6
    assert model.generation_config.top_p == 0.9
    ends = [tokenizer.convert_tokens_to_ids(name) for name in (end, END_OF_TEXT, END_OF_MESSAGE)]
    assert ends == model.config.eos_token_id == model.generation_config.eos_token_id


def tuned(recipe: dict[str, Any], base: Path, name: str, **changes: object) -> dict[str, Any]:
    own = {"model__path": str(base), "optim__updates": 1, "data__max_length": 512, "optim__micro_tokens": None}
    return variant(recipe, f"tuned-{name}", data__template=name, **own, **changes)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_tuned_model_stops(toy_recipe: dict[str, Any], base: Path, name: str) -> None:
    ours = tuned(toy_recipe, base, name)
    assert run(ours) == 0
    require_stops(Path(ours["run"]["output"]) / "model", ENDS[name])


def test_a_merged_adapter_stops(toy_recipe: dict[str, Any], base: Path, tmp_path: Path) -> None:
    ours = tuned(toy_recipe, base, "chatml", adapter__kind="lora")
    assert run(ours) == 0
    adapter, merged = Path(ours["run"]["output"]) / "adapter", tmp_path / "merged"
    ends = AutoTokenizer.from_pretrained(adapter).convert_tokens_to_ids(["<|im_end|>", END_OF_TEXT, END_OF_MESSAGE])
    assert GenerationConfig.from_pretrained(adapter).eos_token_id == ends
    assert main(["weights", "merge", str(base), str(adapter), str(merged)]) == 0
    require_stops(merged, "<|im_end|>")


def test_a_tuned_model_is_a_base_again(toy_recipe: dict[str, Any], base: Path, tmp_path: Path) -> None:
    """Through resize and another run."""
    first = tuned(toy_recipe, base, "chatml")
    assert run(first) == 0
    resized = tmp_path / "resized"
    model = Path(first["run"]["output"]) / "model"
    assert main(["weights", "resize", str(model), str(resized), "--add-tokens", "[PAD]"]) == 0
    second = variant(tuned(toy_recipe, resized, "chatml"), "again")
    assert run(second) == 0
    require_stops(Path(second["run"]["output"]) / "model", "<|im_end|>")
