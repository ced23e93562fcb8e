"""Text that comes token by token: whole characters, no part of a stop string, no blanks at the ends."""

from pathlib import Path

import pytest
from transformers import AutoTokenizer

from finetune.generate.text_stream import TextStream, TrimmedText
from tests.finetune.generate.letters import Letters


@pytest.mark.parametrize("text", ["plain words", "Grüße an 世界 😀!", "  two  spaces\n\nend ", "a</s>b"])
def test_text_comes_in_whole_characters(toy_model: Path, text: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(toy_model)
    ids = tokenizer(text, add_special_tokens=False).input_ids
    out = TextStream(tokenizer, ())
    pieces = [out.add(token) for token in ids] + [out.finish()]
    assert "".join(pieces) == tokenizer.decode(ids, skip_special_tokens=True)
    assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)


def test_a_held_back_beginning_of_a_stop_string_is_given_at_the_end() -> None:
    out = TextStream(Letters(), ("CDX", "D!"))
    assert [out.add(token) for token in (0, 1, 2, 3)] == ["A", "B", "", ""]
    assert out.finish() == "CD" and not out.stopped
    out = TextStream(Letters(), ("CDX",))
    assert "".join(out.add(token) for token in (0, 2, 2, 3, 23, 4)) == "AC" and out.stopped


@pytest.mark.parametrize("pieces", [["  Hi", " ", "you", " \n", ""], ["", " ", "a  b ", "c\n\n"], [" \n "], ["x"]])
def test_trimmed_pieces_add_up_to_the_stripped_text(pieces: list[str]) -> None:
    trimmed = TrimmedText()
    assert "".join(map(trimmed.add, pieces)) == "".join(pieces).strip()
