"""`camelid weights rope`: a longer context is written into the config, as transformers reads it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from camelid.app.cli import main
from finetune.folders import weights
from finetune.llama.attention import Documents
from finetune.llama.config import LlamaConfig
from finetune.llama.rope import rotary_cos_sin

OPTIONS = {
    "base": ["--theta", "1e6", "--context", "16384"],
    "interpolation": ["--factor", "4"],
    "both": ["--theta", "500000", "--factor", "2.5", "--context", "512"],
}


@pytest.mark.parametrize("name", OPTIONS)
def test_transformers_reads_the_stretched_model(lively_model: Path, tmp_path: Path, name: str) -> None:
    """Its logits, beyond the old context, and the tokenizer and the tensors as they were."""
    folder = tmp_path / name
    assert main(["weights", "rope", str(lively_model), str(folder), *OPTIONS[name]]) == 0
    ours, theirs = weights.load_model(folder), AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    before = LlamaConfig.from_folder(lively_model).max_position_embeddings
    expected = {"base": 16384, "interpolation": 4 * before, "both": 512}[name]
    assert ours.config.context == theirs.config.max_position_embeddings == expected > before
    ids = torch.arange(before + 100) * 37 % ours.config.vocab_size
    with torch.no_grad():
        mine = ours(ids, torch.arange(len(ids)), Documents.from_lengths([len(ids)]))
        torch.testing.assert_close(mine, theirs(ids[None]).logits[0], rtol=2e-4, atol=2e-4)
        plain = weights.load_model(lively_model)(ids, torch.arange(len(ids)), Documents.from_lengths([len(ids)]))
    assert float((mine - plain).abs().max()) > 0.1
    old, new = (load_file(path / "model.safetensors") for path in (lively_model, folder))
    assert old.keys() == new.keys() and all(torch.equal(old[name], new[name]) for name in old)
    assert (
        AutoTokenizer.from_pretrained(folder)("red cat").input_ids
        == AutoTokenizer.from_pretrained(lively_model)("red cat").input_ids
    )


LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
SCALINGS = (None, {"rope_type": "linear", "factor": 4.0}, {"rope_type": "llama3", **LLAMA3})


@pytest.mark.parametrize("scaling", SCALINGS, ids=["base alone", "interpolated", "llama3"])
def test_cosines_and_sines_are_transformers_to_position_100_000(scaling: dict[str, Any] | None) -> None:
    config = LlamaConfig(64, 4096, 64, 1, 32, rope_theta=1e6, rope_scaling=scaling, max_position_embeddings=16384)
    theirs = LlamaRotaryEmbedding(AutoConfig.for_model(**config.to_json()))
    for start in range(0, 100_000, 20_000):
        positions = torch.arange(start, start + 20_000)
        cos_Td, sin_Td = rotary_cos_sin(config, positions, Documents.from_lengths([len(positions)]), torch.float32)
        sin_Td[:, : config.head_size // 2] *= -1  # where transformers has the minus on what is turned
        for ours, truth in zip((cos_Td, sin_Td), theirs(torch.zeros(1), positions[None]), strict=True):
            torch.testing.assert_close(ours, truth[0], rtol=0, atol=0)


def test_what_cannot_be_is_refused(
    shaped_models: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, output = str(shaped_models["llama3"]), str(tmp_path / "x")
    for options, why in (
        ([], "what shall change"),
        (["--factor", "2"], "stretched already (rope_scaling 'llama3')"),
        (["--factor", "1"], "must be more than 1"),
        (["--theta", "0"], "must be more than 1"),
        (["--context", "0"], "at least 1 token"),
    ):
        assert main(["weights", "rope", model, output, *options]) == 2
        assert why in capsys.readouterr().err
    assert not Path(output).exists()
