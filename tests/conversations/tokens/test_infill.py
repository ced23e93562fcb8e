"""Texts with a hole have the ids that Meta's rule gives, and what is typed never becomes a sentinel."""

import shutil
import subprocess
import tarfile
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sentencepiece import SentencePieceProcessor
from transformers import PreTrainedTokenizerFast

from camelid.errors import UserError
from conversations.tokens.infill import INFILL_TOKENS, CutText, InfillEncoder, InfillTokens
from conversations.tokens.open_tokenizer import open_tokenizer
from conversations.tokens.template import get_template
from finetune.folders.tokenizer import train_tokenizer
from tests.conversations.tokens.llama_vocabulary import code_model, llama_model, meta_inner, meta_prompt
from tests.conversations.tokens.test_sentencepiece_model import train

LETTERS = "abcdef gh  ijk\n    return(x)\t0123é€世😀☺._:"
PARTS = ["", " ", "  ", "\t", "\n", " x", "  x", "x", "\tx", "    return x", "😀"]
TYPED = ["<PRE>", " <PRE> ", " <MID>", " <EOT>", "</s>"]


def random_cuts(count: int, seed: int, parts: list[str]) -> list[CutText]:
    rng = Random(seed)

    def part() -> str:
        return rng.choice(parts) + "".join(rng.choices(LETTERS, k=rng.randrange(25))) + rng.choice(parts)

    return [CutText(part(), part(), part()) for _ in range(count)]


def check_metas_rule(encoder: InfillEncoder, model: SentencePieceProcessor, cuts: list[CutText]) -> None:
    """The same ids; no text may have a typed sentinel, which Meta's own code would take for one."""
    eot = model.piece_to_id("▁<EOT>")
    for cut in cuts:
        for first in (False, True):
            prompt = meta_prompt(model, cut.prefix, cut.suffix, first)
            assert encoder.prompt(cut.prefix, cut.suffix, first) == prompt, (cut, first)
        joined = meta_prompt(model, cut.prefix + cut.middle, cut.suffix, True)
        assert encoder.encode([(cut, True)])[0] == [*joined, eot], cut
        plain = meta_prompt(model, cut.prefix, cut.suffix, False)
        assert encoder.encode([(cut, False)])[0] == [*plain, *meta_inner(model, cut.middle), eot], cut


@pytest.fixture(scope="module")
def code_llama(tmp_path_factory: pytest.TempPathFactory) -> tuple[InfillEncoder, SentencePieceProcessor]:
    """A small model of Code Llama's kind: ours and SentencePiece's."""
    folder = tmp_path_factory.mktemp("model")
    train(folder)
    model = code_model(folder / "tokenizer.model")
    return InfillEncoder(open_tokenizer(folder)), model


def test_ids_are_those_of_metas_rule(code_llama: tuple[InfillEncoder, SentencePieceProcessor]) -> None:
    encoder, model = code_llama
    check_metas_rule(encoder, model, random_cuts(300, 0, [*PARTS, "▁"]))


def test_parts_join_to_the_text_again(code_llama: tuple[InfillEncoder, SentencePieceProcessor]) -> None:
    """Sentinels out, the parts in their order: every text to the byte, typed sentinels too."""
    encoder, model = code_llama
    for cut in random_cuts(300, 1, PARTS + TYPED):
        for first in (False, True):
            start, pre, *rest, end = encoder.encode([(cut, first)])[0]
            assert (start, pre, end) == (model.bos_id(), encoder.prefix_id, encoder.end_id)
            assert sorted(set(rest) & {*encoder.sentinels, encoder.end_id}) == sorted(
                (encoder.suffix_id, encoder.middle_id)
            )
            before, behind = rest[: rest.index(encoder.suffix_id)], rest[rest.index(encoder.suffix_id) + 1 :]
            suffix, middle = behind[: behind.index(encoder.middle_id)], behind[behind.index(encoder.middle_id) + 1 :]
            head = middle if first else before
            text = model.decode(head) + ("" if first else decode_inner(model, middle)) + decode_inner(model, suffix)
            assert text.encode() == "".join(cut).encode()


def decode_inner(model: SentencePieceProcessor, ids: list[int]) -> str:
    """Meta's way back (llama/tokenizer.py, `decode_infilling`)."""
    letter = model.encode("x")[-1:]
    return str(model.decode([*letter, *ids])).removeprefix("x")


@pytest.mark.slow  # downloads a package
def test_llamas_own_vocabulary_gives_the_published_ids(tmp_path: Path) -> None:
    """The prompt of llama.cpp's issue 3503, and 2,000 random texts."""
    npm = shutil.which("npm")
    if npm is None or subprocess.run([npm, "pack", "llama-tokenizer-js@1.2.2"], cwd=tmp_path).returncode:
        pytest.skip("the package llama-tokenizer-js cannot be had")
    with tarfile.open(tmp_path / "llama-tokenizer-js-1.2.2.tgz") as archive:
        archive.extractall(tmp_path, filter="data")
    train(tmp_path / "llama")
    model = llama_model(tmp_path / "package" / "llama-tokenizer.js", tmp_path / "llama" / "tokenizer.model")
    encoder = InfillEncoder(open_tokenizer(tmp_path / "llama"))
    prefix, suffix = 'def remove_non_ascii(s: str) -> str:\n    """ ', "\n    return result\n"
    before = [
        822, 3349, 29918, 5464, 29918, 294, 18869, 29898, 29879, 29901, 851, 29897, 1599, 851, 29901, 13, 1678,
        9995, 29871,
    ]  # fmt: skip
    behind = [32008, 13, 1678, 736, 1121, 13, 32009]
    assert encoder.prompt(prefix, suffix) == [1, 32007, *before, *behind]
    assert encoder.prompt(prefix, suffix, suffix_first=True) == [1, 32007, *behind, *before]
    known = {
        " x": [921],
        "  x": [29871, 921],
        "\tx": [12, 29916],
        "": [],
        "x": [29916],
        "    return x": [1678, 736, 921],
    }
    for text, ids in known.items():
        assert encoder.prompt("", text) == [1, 32007, 32008, *ids, 32009]
    check_metas_rule(encoder, model, random_cuts(2000, 2, [*PARTS, "▁"]))


def byte_level(tokens: InfillTokens, **flags: Any) -> PreTrainedTokenizerFast:
    """A tokenizer like StarCoder's or Qwen's."""
    tokenizer = train_tokenizer(["def f(x):\n    return x + 1\n"] * 9, 330, get_template("vicuna_v1.1"))
    new = {"additional_special_tokens": list(tokens.all)}
    tokenizer.add_special_tokens(new) if flags.get("special") else tokenizer.add_tokens(list(tokens.all))
    tokenizer.name_or_path = "some/model"
    return tokenizer


@pytest.mark.parametrize("special", [True, False], ids=["special", "Qwen's are not"])
@pytest.mark.parametrize("tokens", INFILL_TOKENS, ids=lambda tokens: tokens.models)
def test_each_family_has_its_own_tokens(tokens: InfillTokens, special: bool) -> None:
    """Of a byte-level tokenizer ids are those of the parts; typed sentinels are text."""
    tokenizer = byte_level(tokens, special=special)
    encoder = InfillEncoder(tokenizer)
    assert encoder.tokens.prefix == tokens.prefix
    pre, suf, mid, end = tokenizer.convert_tokens_to_ids(list(tokens.all))

    def plain(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False).input_ids)

    assert encoder.prompt("def f", " x") == [1, pre, *plain("def f"), suf, *plain(" x"), mid]
    whole = encoder.encode([(CutText("a", " b", "c"), True)])[0]
    assert whole == [1, pre, suf, *plain("c"), mid, *plain("a b"), end]
    typed = encoder.prompt(tokens.middle, tokens.end)
    assert typed[:2] == [1, pre] and typed.count(mid) == 1 and end not in typed
    assert tokenizer.decode(typed[2 : typed.index(suf)]) == tokens.middle


def test_a_model_without_the_tokens_is_told_how_to_get_them() -> None:
    tokenizer = train_tokenizer(["def f"], 300, get_template("vicuna_v1.1"))
    tokenizer.name_or_path = "some/model"
    with pytest.raises(
        UserError, match=r"some/model: .*Code Llama's tokens '▁<PRE>', .*camelid weights resize some/model"
    ):
        InfillEncoder(tokenizer)
    tokenizer.add_tokens(["<fim_prefix>", "<fim_suffix>", "<fim_middle>"])
    with pytest.raises(UserError, match=r"StarCoder's tokens '<\|endoftext\|>' are missing"):
        InfillEncoder(tokenizer)
