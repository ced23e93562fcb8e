"""SentencePiece models with Code Llama's infilling pieces, and Meta's rule for the ids of a text with a hole."""

import base64
import re
import struct
from collections.abc import Iterator
from pathlib import Path

from sentencepiece import SentencePieceProcessor

# What Code Llama's tokenizer.model has from 32000 on: its infilling tokens, and what merges make on the way to them.
CODE_PIECES = "▁<SU ▁<SUF ▁<PRE ▁<M ▁<MID ▁<E ▁<EOT ▁<PRE> ▁<SUF> ▁<MID> ▁<EOT>".split(" ")
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6  # sentencepiece_model.proto, SentencePiece.Type


def code_model(path: Path) -> SentencePieceProcessor:
    """Add those pieces to a model, in place."""
    scores = range(-10_000, -10_000 - len(CODE_PIECES), -1)
    added = (_field(1, _piece(*each, NORMAL)) for each in zip(CODE_PIECES, scores, strict=True))
    path.write_bytes(path.read_bytes() + b"".join(added))
    return SentencePieceProcessor(str(path))


def llama_model(script: Path, path: Path) -> SentencePieceProcessor:
    """Replace a model's pieces by LLaMA's 32,000 and Code Llama's.

    In Meta's file scores fall from the first piece on; but runs of blanks have the lowest of all.

    Args:
        script: `llama-tokenizer.js` of the package llama-tokenizer-js 1.2.2, which holds the pieces in base 64.
        path: of a model with LLaMA's settings; changed.
    """
    found = re.search(r'llama_vocab_base64 = "([^"]+)"', script.read_text(encoding="utf-8"))
    assert found is not None
    pieces = [*base64.b64decode(found[1]).decode().split("\n"), *CODE_PIECES]
    kinds = [UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256, *[NORMAL] * (len(pieces) - 259)]
    scores = [0.0 if number < 259 else 259.0 - number for number in range(len(pieces))]
    scores = [-1e9 if piece.count("▁") == len(piece) > 1 else each for piece, each in zip(pieces, scores, strict=True)]
    new = (_field(1, _piece(*each)) for each in zip(pieces, scores, kinds, strict=True))
    settings = (_field(number, value) for number, value in _fields(path.read_bytes()) if number != 1)
    path.write_bytes(b"".join([*new, *settings]))
    return SentencePieceProcessor(str(path))


def meta_prompt(model: SentencePieceProcessor, prefix: str, suffix: str, suffix_first: bool) -> list[int]:
    """Ids up to the middle by Meta's rule (github.com/meta-llama/codellama, llama/generation.py and tokenizer.py)."""
    pre, suf, mid = (model.piece_to_id(f"▁<{name}>") for name in ("PRE", "SUF", "MID"))
    if suffix_first:
        return [model.bos_id(), pre, suf, *meta_inner(model, suffix), mid, *model.encode(prefix)]
    return [model.bos_id(), pre, *model.encode(prefix), suf, *meta_inner(model, suffix), mid]


def meta_inner(model: SentencePieceProcessor, text: str) -> list[int]:
    """Behind a letter of its own, which is then left out again with the blank before it."""
    return list(model.encode("☺" + text))[len(model.encode("☺")) :]


def _piece(text: str, score: float, kind: int) -> bytes:
    return _field(1, text.encode()) + b"\x15" + struct.pack("<f", score) + b"\x18" + bytes([kind])


def _field(number: int, value: bytes) -> bytes:
    """A field of bytes, as protocol buffers write it."""
    return bytes([number << 3 | 2]) + _varint(len(value)) + value


def _varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + _varint(number >> 7)


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and content of each field of a message whose fields are all of bytes, as a model's are."""
    at = 0
    while at < len(message):
        number, size, shift = message[at] >> 3, 0, 0
        assert message[at] & 7 == 2, "not a field of bytes"
        while True:
            at += 1
            size |= (message[at] & 127) << shift
            shift += 7
            if message[at] < 128:
                break
        yield number, message[at + 1 : at + 1 + size]
        at += 1 + size
