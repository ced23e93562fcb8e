"""A larger vocabulary keeps the old rows; the new ones begin at their mean."""

import dataclasses
import re
import shlex
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from camelid.app.cli import main
from camelid.errors import UserError
from conversations.tokens.open_tokenizer import open_tokenizer
from conversations.tokens.template import get_template
from conversations.tokens.tokenize import Encoder
from finetune.folders import weights
from tests.finetune.folders.tiny_folders import logits


@pytest.mark.parametrize("tied", [False, True])
def test_resize(tmp_path: Path, toy_model: Path, tied: bool) -> None:
    old = weights.load_model(toy_model)
    config = dataclasses.replace(old.config, tie_word_embeddings=tied)
    weights.save_model(old.state_dict(), config, tmp_path / "model")
    for file in toy_model.glob("*token*"):
        (tmp_path / "model" / file.name).write_bytes(file.read_bytes())
    command = ["weights", "resize", str(tmp_path / "model"), str(tmp_path / "larger"), "--multiple-of", "64"]
    assert main([*command, "--add-tokens", "[PAD]", "<tool>"]) == 0
    new, tokenizer = weights.load_model(tmp_path / "larger"), AutoTokenizer.from_pretrained(tmp_path / "larger")
    size = old.config.vocab_size
    assert new.config.vocab_size == 448 == -(-(size + 2) // 64) * 64
    assert tokenizer.convert_tokens_to_ids("[PAD]") == size and tokenizer("<tool>").input_ids[-1] == size + 1
    for before, after in (
        (old.model.embed_tokens.weight, new.model.embed_tokens.weight),
        ((old.model.embed_tokens if tied else old.lm_head).weight, new.lm_head.weight),
    ):
        assert torch.equal(after[:size], before)
        torch.testing.assert_close(after[size:], before.mean(0).expand(448 - size, -1))
    peer = AutoModelForCausalLM.from_pretrained(tmp_path / "larger", dtype=torch.float32)
    torch.testing.assert_close(logits(peer), logits(new), atol=1e-5, rtol=1e-5)


def test_the_error_for_missing_tokens_names_the_command_that_adds_them(tmp_path: Path, toy_model: Path) -> None:
    with pytest.raises(UserError, match=r"lacks; choose another template") as caught:
        Encoder(get_template("chatml"), open_tokenizer(toy_model))
    found = re.search("`camelid (.+)`$", str(caught.value))
    assert found
    larger = str(tmp_path / "larger")
    assert main([larger if word == "OUTPUT" else word for word in shlex.split(found[1])]) == 0
    assert len(Encoder(get_template("chatml"), open_tokenizer(larger)).end_ids) == 1
