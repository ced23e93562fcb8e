"""A larger vocabulary keeps the old rows; the new ones begin at their mean."""

import dataclasses
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from camelid.app.cli import main
from camelid.errors import UserError
from conversations.tokens.open_tokenizer import open_tokenizer
from conversations.tokens.template import get_template
from conversations.tokens.tokenize import Encoder
from finetune.folders import weights
from finetune.serve.served import open_served
from tests.finetune.folders.tiny_folders import logits
from tests.finetune.runs import run, variant, write


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


def test_tokens_without_a_row_are_named(
    toy_recipe: dict[str, Any], toy_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before any model is loaded, with the command that makes room; which then does."""
    folder, name = tmp_path / "base", "<|im_end|>"
    shutil.copytree(toy_model, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", name]})
    tokenizer.save_pretrained(folder)
    ours = variant(toy_recipe, "chatml", model__path=str(folder), data__template="chatml", optim__updates=1)
    rows = weights.load_model(folder).config.vocab_size
    says = f"{folder}: token {name!r} has id {rows + 1}, but the embedding has {rows} rows"
    for command in (["finetune", str(write(ours)), "--plan"], ["finetune", str(write(ours))]):
        assert main(command) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert says in line
    with pytest.raises(UserError, match="but the embedding has"):
        open_served(folder, template="chatml")
    [resize] = re.findall(r"`camelid (.+?)`", line)
    assert main(resize.split()) == 0
    resized = resize.split()[-1]
    assert run(variant(ours, "resized", model__path=resized)) == 0
    for also, said in (([], True), (["embed_tokens", "lm_head"], False)):
        capsys.readouterr()
        adapter = {"adapter__kind": "lora", "adapter__also": also, "model__path": resized}
        assert run(variant(ours, f"adapter-{said}", **adapter)) == 0
        warned = (
            f"not to be learned by an adapter: '<|im_start|>', {name!r}; add adapter.also" in capsys.readouterr().err
        )
        assert warned == said
    assert run(variant(toy_recipe, "plain", adapter__kind="lora", optim__updates=1)) == 0
    assert "not to be learned" not in capsys.readouterr().err


def test_earlier_added_tokens_stay_special(tmp_path: Path, toy_model: Path) -> None:
    for before, after, token in ((toy_model, "one", "<one>"), (tmp_path / "one", "two", "<two>")):
        command = ["weights", "resize", str(before), str(tmp_path / after), "--add-tokens", token]
        assert main(command) == 0
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "two")
    assert {"<one>", "<two>"} <= set(tokenizer.all_special_tokens)
    ids = tokenizer("<one> and <two>", add_special_tokens=False).input_ids
    assert "one" not in tokenizer.decode(ids, skip_special_tokens=True)


def test_the_error_for_missing_tokens_names_the_command_that_adds_them(tmp_path: Path, toy_model: Path) -> None:
    with pytest.raises(UserError, match=r"lacks; choose another template") as caught:
        Encoder(get_template("chatml"), open_tokenizer(toy_model))
    found = re.search("`camelid (.+)`$", str(caught.value))
    assert found
    larger = str(tmp_path / "larger")
    assert main([larger if word == "OUTPUT" else word for word in shlex.split(found[1])]) == 0
    assert len(Encoder(get_template("chatml"), open_tokenizer(larger)).end_ids) == 1
