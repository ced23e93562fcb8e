"""How many bytes of text each token stands for, so that losses of models with other tokens can be compared."""

import json
from typing import Any

import numpy as np
import numpy.typing as npt

from conversations.tokens.respell import control_tokens


def token_bytes(tokenizer: Any) -> npt.NDArray[np.int64]:
    """(V,) bytes of UTF-8 text of each token; 0 for control tokens, and for ids that are no token.

    Args:
        tokenizer: a Hugging Face fast tokenizer whose pieces are SentencePiece's or those of byte-level BPE.
    """
    backend = tokenizer.backend_tokenizer
    state = json.loads(backend.to_str())
    byte_level = '"ByteLevel"' in json.dumps([state["decoder"], state["pre_tokenizer"]])
    vocabulary = backend.get_vocab(with_added_tokens=True)
    added, controls = backend.get_added_tokens_decoder(), control_tokens(backend)
    sizes = np.zeros(max(vocabulary.values()) + 1, dtype=np.int64)
    for piece, index in vocabulary.items():
        if piece in controls:
            continue
        sizes[index] = _bytes(piece, byte_level and index not in added)
    return sizes


def implicit_bytes(tokenizer: Any, sizes: npt.NDArray[np.int64]) -> int:
    """Bytes that the tokenizer puts before a text that are not its own: 1 for SentencePiece's blank, else 0."""
    ids = tokenizer.backend_tokenizer.encode("a", add_special_tokens=False).ids
    return int(sizes[ids].sum()) - 1


def _bytes(piece: str, byte_level: bool) -> int:
    if byte_level:
        return len(piece)  # a letter of the piece is a byte
    if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
        return 1  # SentencePiece's byte
    return len(piece.replace("▁", " ").encode())
