"""Drops conversations that contain a blocked phrase."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from camelid.errors import UserError, suggest_name
from camelid.files.ledger import Ledger
from camelid.files.paths import suggest_path
from camelid.files.read import read_text
from camelid.message import Conversation
from camelid.text.words import fold_text

# `contain_blocked_words` in github.com/lm-sys/FastChat, fastchat/data/clean_sharegpt.py.
PRESETS = {"fastchat": ("openai", "chatgpt")}


@dataclass(frozen=True)
class BlockPhrases:
    """The blocked-phrase step: any turn that contains one, in any case, width and spacing, drops the conversation."""

    phrases: tuple[str, ...]

    def __call__(self, conversation: Conversation, turns: Ledger) -> Conversation | str:
        for message in conversation.messages:
            text = _fold(message.content)
            for phrase in self.phrases:
                if phrase in text:
                    return f"blocked phrase: {phrase}"
        return conversation


def read_phrases(names: Iterable[str]) -> tuple[str, ...]:
    """The phrases of presets and of files with one a line (blank lines and lines from `#` don't count)."""
    phrases: list[str] = []
    for name in names:
        if name in PRESETS:
            phrases += PRESETS[name]
        elif Path(name).exists():
            lines = [_fold(line) for line in read_text(name).splitlines()]
            phrases += [line for line in lines if line and not line.startswith("#")]
        else:
            raise UserError(
                f"--block {name}: no such file or preset{suggest_path(name) or suggest_name(name, PRESETS)}"
            )
    return tuple(dict.fromkeys(phrases))


def _fold(text: str) -> str:
    return " ".join(fold_text(text).split())
