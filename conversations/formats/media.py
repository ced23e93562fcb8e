"""Images, sounds and files, which no text model can be trained with: their exchanges are lost, by name."""

import re
from collections.abc import Iterable

from camelid.files.read import Record
from camelid.message import Message
from conversations.formats.chat import LostTurn, exchanges, media_reason

# Fields of LLaVA, LLaMA-Factory, ms-swift and Ollama; what they name is never in the text.
_KINDS = ("image", "audio", "video")
_NAMES = ("{}", "{}s", "{}_url", "{}_urls", "{}_path", "{}_paths", "{}_file", "{}_files")
MEDIA_FIELDS = frozenset(("attachment", "attachments", *(name.format(kind) for kind in _KINDS for name in _NAMES)))
# LLaVA's and LLaMA-Factory's mark; with bars and a number, Phi's.
_MARK_TEXT = r"<\|?(image|audio|video)(?:_\d+)?\|?>"
_MARK = re.compile(_MARK_TEXT)
# Where nothing beside the text says that there is an image, a mark counts if it stands as LLaVA puts it, at the
# beginning or the end of a line, and is not the tag of an element of XML.
_PLACED = re.compile(rf"^[ \t]*{_MARK_TEXT}(?!.*</\1>)|{_MARK_TEXT}[ \t]*$(?!.*</\2>)", re.MULTILINE | re.DOTALL)


def media_field(item: Record) -> str | None:
    """The name of the field of a record or a turn that holds an image, a sound or a file; None if none does."""
    if MEDIA_FIELDS.isdisjoint(item):
        return None
    return next((name for name in sorted(MEDIA_FIELDS) if item.get(name)), None)


def placed_mark(text: str) -> str | None:
    """The mark in a user's text that stands for an image, a sound or a video; None if there is none."""
    found = _PLACED.search(text) if _MARK.search(text) else None
    return None if found is None else f"<{found[1] or found[2]}>"


def without_media(turns: Iterable[Message], name: str) -> list[Message | LostTurn]:
    """The turns of a record whose field `name` holds media: exchanges with a mark for it are lost; without any, all."""
    talk = list(exchanges(turns))
    marked = [any(isinstance(turn, Message) and _MARK.search(turn.content) for turn in exchange) for exchange in talk]
    return [
        LostTurn(media_reason(name), with_exchange=True, role=turn.role)
        if turn.role != "system" and (lost or not any(marked))
        else turn
        for exchange, lost in zip(talk, marked, strict=True)
        for turn in exchange
    ]
