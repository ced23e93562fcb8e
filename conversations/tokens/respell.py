"""A copy of a tokenizer in which text that somebody typed never becomes a control token."""

import json
import secrets
from collections.abc import Sequence
from typing import Any

from tokenizers import AddedToken, Tokenizer


def new_mark() -> str:
    """How the spellings of control tokens begin: in a way that nobody can type."""
    return f"\ue000{secrets.token_hex(8)}-"


def control_tokens(tokenizer: Tokenizer) -> dict[str, int]:
    """The ids of a tokenizer's control tokens."""
    added = tokenizer.get_added_tokens_decoder().items()
    return {token.content: index for index, token in added if token.special}


def spell_controls(controls: dict[str, int], mark: str) -> dict[str, str]:
    """A spelling of each control token; `mark` from `new_mark`."""
    return {token: f"{mark}{index}\ue001" for token, index in controls.items()}


def respell(tokenizer: Tokenizer, spelled: dict[str, str]) -> Tokenizer:
    """A copy of a tokenizer in which each control token has another spelling but the same meaning.

    The model's vocabulary is respelled too: otherwise a Unigram model could still find `</s>` in typed
    text; merges that would make a control token of its parts go for the same reason. The post-processor
    goes: it would add special tokens and trim offsets.
    """
    state = json.loads(tokenizer.to_str())
    model = state["model"]
    if isinstance(model["vocab"], dict):
        model["vocab"] = {spelled.get(piece, piece): index for piece, index in model["vocab"].items()}
    else:
        model["vocab"] = [[spelled.get(piece, piece), score] for piece, score in model["vocab"]]
    if "merges" in model:
        model["merges"] = [
            merge for merge in model["merges"] if not spelled.keys() & {*_parts(merge), "".join(_parts(merge))}
        ]
    if model.get("unk_token") in spelled:
        model["unk_token"] = spelled[model["unk_token"]]
    state["post_processor"] = None
    state["truncation"] = state["padding"] = None
    added = state.pop("added_tokens")
    copy = Tokenizer.from_str(json.dumps({**state, "added_tokens": []}))
    for token in sorted(added, key=lambda item: item["id"]):
        content = spelled.get(token["content"], token["content"])
        flags = {name: token[name] for name in ("single_word", "lstrip", "rstrip", "normalized")}
        if token["special"]:
            copy.add_special_tokens([AddedToken(content, special=True, **flags)])
        else:
            copy.add_tokens([AddedToken(content, **flags)])
    return copy


def _parts(merge: Any) -> Sequence[str]:
    """The two halves of a merge, in either of the ways tokenizer files write them."""
    return merge.split(" ") if isinstance(merge, str) else merge
