"""The one place where text becomes token ids and token ids get their share of the loss.

The whole prompt is tokenised once, with character offsets; a token is trained if the character it ends
with is. Text that somebody typed never becomes a control token: the tokenizer works on a copy of itself
whose control tokens are spelled in a way that nobody can type, and only the template's own text is
rewritten to that spelling. Ids are the same in both.
"""

import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import AddedToken, Tokenizer

from camelid.errors import UserError
from conversations.message import Conversation, Message
from conversations.template import Span, Template


@dataclass(frozen=True)
class Tokens:
    """One tokenised conversation.

    Attributes:
        ids: (n,) int32.
        weights: (n,) float32 share of the loss of each token; 0 = not trained.
    """

    ids: npt.NDArray[np.int32]
    weights: npt.NDArray[np.float32]


class Encoder:
    """A template and a tokenizer, ready to encode conversations.

    Args:
        template: how a conversation is written.
        tokenizer: a Hugging Face fast tokenizer (`PreTrainedTokenizerFast`).

    Raises:
        UserError: the tokenizer is not a fast one, or lacks a control token of the template.
    """

    def __init__(self, template: Template, tokenizer: Any) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise UserError(f"{tokenizer.name_or_path}: a fast tokenizer (tokenizer.json) is needed")
        controls = {
            token.content: index
            for index, token in tokenizer.backend_tokenizer.get_added_tokens_decoder().items()
            if token.special
        }
        missing = [token for token in template.control if token not in controls]
        if missing:
            raise UserError(
                f"template {template.name!r} needs the special token(s) {', '.join(map(repr, missing))}, which the "
                f"tokenizer of {tokenizer.name_or_path!r} lacks; add them or choose another template"
            )
        self.template = template
        nonce = secrets.token_hex(8)
        self._spelled = {token: f"\ue000{nonce}-{index}\ue001" for token, index in controls.items()}
        self._pattern = re.compile("|".join(re.escape(token) for token in sorted(controls, key=len, reverse=True)))
        self._tokenizer = _respelled(tokenizer.backend_tokenizer, self._spelled)
        self._original_id = {self._tokenizer.token_to_id(self._spelled[token]): controls[token] for token in controls}
        adds_bos = tokenizer("", add_special_tokens=True)["input_ids"][:1] == [tokenizer.bos_token_id]
        self._start = [tokenizer.bos_token_id] if template.bos == "tokenizer" and adds_bos else []

    def encode(self, conversation: Conversation) -> Tokens:
        """Token ids and loss weights of a whole conversation."""
        spans = self.template.spans(conversation)
        text = "".join(self._spell(span) for span in spans)
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        lengths = [len(self._spell(span)) for span in spans]
        weight_of_char = np.repeat(np.array([span.weight for span in spans], dtype=np.float32), lengths)
        ends = np.array([end for _, end in encoding.offsets], dtype=np.int64)
        weights = weight_of_char[np.maximum(ends, 1) - 1]
        return Tokens(
            ids=np.array(self._start + self._ids(encoding), dtype=np.int32),
            weights=np.concatenate([np.zeros(len(self._start), dtype=np.float32), weights]),
        )

    def encode_prompt(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a chat up to where the model shall go on."""
        text = "".join(self._spell(span) for span in self.template.prompt(messages))
        return self._start + self._ids(self._tokenizer.encode(text, add_special_tokens=False))

    def length(self, conversation: Conversation) -> int:
        """Number of tokens of a whole conversation."""
        return len(self.encode(conversation).ids)

    def _spell(self, span: Span) -> str:
        if span.typed:
            return span.text
        return self._pattern.sub(lambda match: self._spelled[match[0]], span.text)

    def _ids(self, encoding: Any) -> list[int]:
        return [self._original_id.get(index, index) for index in encoding.ids]


def _respelled(tokenizer: Tokenizer, spelled: dict[str, str]) -> Tokenizer:
    """A copy of a tokenizer in which each control token has another spelling but the same meaning.

    The model's vocabulary is respelled too: otherwise a Unigram model could still find `</s>` in typed
    text. The post-processor goes: it would add special tokens and trim offsets.
    """
    state = json.loads(tokenizer.to_str())
    model = state["model"]
    if isinstance(model["vocab"], dict):
        model["vocab"] = {spelled.get(piece, piece): index for piece, index in model["vocab"].items()}
    else:
        model["vocab"] = [[spelled.get(piece, piece), score] for piece, score in model["vocab"]]
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
