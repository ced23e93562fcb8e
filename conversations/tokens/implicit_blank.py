"""The blank that SentencePiece puts before a text, and a tokenizer that doesn't put it there."""

import json
from typing import Any

from tokenizers import Tokenizer


def without_implicit_blank(tokenizer: Tokenizer) -> Tokenizer:
    """A copy that encodes a text as if it went on from another.

    In a tokenizer of merges that is what Meta's Code Llama does by encoding behind a letter and leaving that out again
    (github.com/meta-llama/codellama, llama/tokenizer.py, `encode_infilling`). To leave out a first blank instead would
    be wrong for texts that begin with blanks of their own, or with a letter.
    """
    state = json.loads(tokenizer.to_str())
    for stage in ("normalizer", "pre_tokenizer"):
        state[stage] = _never_prepends(state[stage])
    return Tokenizer.from_str(json.dumps(state))


def _never_prepends(step: dict[str, Any] | None) -> dict[str, Any] | None:
    """A normalizer or pre-tokenizer without any of the ways to ask for that blank."""
    if step is None or step["type"] == "Prepend":
        return None
    if step["type"] == "Metaspace":
        return {**step, "prepend_scheme": "never"}
    if step["type"] == "ByteLevel":
        return {**step, "add_prefix_space": False}
    for name in ("normalizers", "pretokenizers"):
        if name in step:
            return {**step, name: [kept for one in step[name] if (kept := _never_prepends(one)) is not None]}
    return step
