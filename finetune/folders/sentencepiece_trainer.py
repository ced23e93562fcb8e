"""Trains LLaMA's kind of tokenizer: SentencePiece BPE with byte fallback, for a model that starts from nothing."""

import io
import os
import re
from collections.abc import Iterable, Iterator
from typing import Any

from camelid.errors import UserError

# The settings that Meta's tokenizer.model of LLaMA-1 and 2 carries; digits and bytes as the paper says
# (Touvron et al. 2023a, section 2.1).
LLAMA_FLAGS: dict[str, Any] = {
    "model_type": "bpe",
    "character_coverage": 0.99995,
    "input_sentence_size": 200_000_000,
    "max_sentencepiece_length": 16,
    "split_digits": True,
    "byte_fallback": True,
    "allow_whitespace_only_pieces": True,
    "normalization_rule_name": "identity",
    "remove_extra_whitespaces": False,
    "add_dummy_prefix": True,
    "unk_id": 0,
    "bos_id": 1,
    "eos_id": 2,
    "pad_id": -1,
}
MAX_LINE = 4192  # bytes: SentencePiece's `max_sentence_length`, beyond which it leaves a sentence out
RESERVED = "\u2585"  # stands for an unknown piece inside SentencePiece, which leaves out sentences that hold it
_BREAKS = re.compile(rf"[\r\n\0{RESERVED}]+")


def train_sentencepiece(texts: Iterable[str], vocab_size: int) -> bytes:
    """The `tokenizer.model` that SentencePiece learns from texts, the same for the same texts.

    Args:
        texts: what it learns pieces from, line by line. Nothing is left out: long lines are cut at a blank.
        vocab_size: pieces, the 256 bytes and three control tokens included.

    Raises:
        UserError: the package is missing, there is no text, or it can't fill such a vocabulary, or can't fit in it.
    """
    try:
        from sentencepiece import SentencePieceTrainer
    except ImportError:
        raise UserError("training a tokenizer needs the package sentencepiece; pip install 'camelid[meta]'") from None
    model = io.BytesIO()
    lines = _lines(texts)
    first = next(lines, None)
    if first is None:
        raise UserError("no text to learn a vocabulary from: all documents are empty")
    try:
        SentencePieceTrainer.train(
            sentence_iterator=_after(first, lines),
            model_writer=model,
            vocab_size=vocab_size,
            max_sentence_length=MAX_LINE,
            num_threads=os.cpu_count() or 1,
            minloglevel=2,
            **LLAMA_FLAGS,
        )
    except RuntimeError as error:
        raise UserError(_explain(str(error), vocab_size)) from None
    return model.getvalue()


def _after(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _lines(texts: Iterable[str]) -> Iterator[str]:
    """Lines of at most `MAX_LINE` bytes."""
    for text in texts:
        for line in _BREAKS.split(text):
            while len(line.encode("utf-8", "replace")) > MAX_LINE:
                part = line[: MAX_LINE // 4]  # a character takes 4 bytes at most
                cut = part.rfind(" ") if " " in part[1:] else len(part)  # a blank begins the word behind it
                yield line[:cut]
                line = line[cut:]
            if line:
                yield line


def _explain(error: str, vocab_size: int) -> str:
    """SentencePiece's reason in terms of `--vocab`."""
    most = re.search(r"Please set it to a value <= (\d+)", error)
    if most:
        return f"--vocab {vocab_size}: these texts fill a vocabulary of {most[1]} at most; give that, or more text"
    least = re.search(r"smaller than required_chars. (\d+) vs (\d+)", error)
    if least:
        return f"--vocab {vocab_size}: bytes and characters of these texts alone are {least[2]}; give more than that"
    return f"--vocab {vocab_size}: SentencePiece refuses: {error.splitlines()[-1]}"
