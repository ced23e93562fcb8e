"""The loss at every token of a text, read in parts, is transformers' of the whole."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM

from camelid.app.cli import main
from finetune.context.along_text import losses_along
from finetune.folders import weights
from finetune.llama.config import LlamaConfig
from finetune.llama.model import Llama


def theirs(folder: Path, ids: list[int]) -> torch.Tensor:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
    return cross_entropy(logits[:-1], torch.tensor(ids[1:]), reduction="none")


def some_ids(model: Llama, count: int) -> list[int]:
    return np.random.default_rng(0).integers(0, model.config.vocab_size, count).tolist()


@pytest.mark.slow  # transformers takes its time
def test_it_equals_transformers_at_16_384_positions(lively_model: Path, tmp_path: Path, one_thread: None) -> None:
    folder = tmp_path / "long"
    assert main(["weights", "rope", str(lively_model), str(folder), "--theta", "1e6", "--context", "16384"]) == 0
    model = weights.load_model(folder).eval()
    ids = some_ids(model, 16_384)
    found = losses_along(model, ids)
    assert found.shape == (16_383,)
    np.testing.assert_allclose(found, theirs(folder, ids).numpy(), rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("name", ["one-kv-head", "linear", "yarn", "mistral", "smollm3", "dynamic"])
def test_parts_of_any_size_are_the_whole(shaped_models: dict[str, Path], tmp_path: Path, name: str) -> None:
    folder = shaped_models["one-kv-head" if name == "dynamic" else name]
    if name == "dynamic":
        config = LlamaConfig.from_folder(folder)
        scaled = dataclasses.replace(
            config, rope_scaling={"rope_type": "dynamic", "factor": 2.0}, max_position_embeddings=64
        )
        folder = tmp_path / "dynamic"
        weights.save_model(weights.init_model(scaled, seed=0).state_dict(), scaled, folder)
    model = weights.load_model(folder).eval()
    ids = some_ids(model, 100)
    truth = theirs(folder, ids).numpy()
    for part in (7, 33, 1024):
        np.testing.assert_allclose(losses_along(model, ids, part), truth, rtol=1e-4, atol=1e-4)
