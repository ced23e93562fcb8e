"""One message of a ChatGPT account export: what of it is the text of a turn."""

import json
import re
from typing import Any

from camelid.errors import UserError
from camelid.files.read import Record
from camelid.message import Message, Role, check_weight, merge_meta
from conversations.formats.chat import HIDDEN, TOOL, LostTurn, media_reason
from conversations.formats.fields import KnownFields

PAGE_ERROR = "exchange that an error of the service ended"

# Kinds of content, by who may say them as a turn of the chat. Whatever is not named here is no text.
_TEXTS: dict[Role, frozenset[str]] = {
    "system": frozenset(("text",)),
    "user": frozenset(("text", "multimodal_text")),
    "assistant": frozenset(("text", "multimodal_text")),
}
# Kept in the export, but not shown on the page as an answer.
_BEHIND_THE_SCENES = frozenset(("user_editable_context", "model_editable_context", "thoughts", "reasoning_recap"))
# Calls of tools and what they gave: the code cell, the browser, the computer.
_TOOLS = frozenset((
    "code", "execution_output", "citable_code_output", "computer_output", "sonic_webpage", "tether_quote",
    "tether_browsing_code", "tether_browsing_display",
))  # fmt: skip
_RECORDINGS = frozenset(("audio_asset_pointer", "real_time_user_audio_video_asset_pointer"))
_SHOWN_LIVE = ("frames_asset_pointers", "video_container_asset_pointer")
_UNFINISHED = frozenset(("in_progress", "finished_partial_completion"))

_MESSAGE = KnownFields(
    frozenset(("author", "content", "status", "weight", "metadata", "recipient", "channel")),
    frozenset(("id", "update_time", "end_turn")),
)
# What is harmless here: ids, and how the page shows the message.
_METADATA = KnownFields(
    frozenset(("attachments", "finish_details", "is_visually_hidden_from_conversation", "is_user_system_message")),
    frozenset((
        "can_save", "citations", "content_references", "default_model_slug", "is_complete", "message_source",
        "message_type", "parent_id", "request_id", "search_result_groups", "serialization_metadata", "timestamp_",
        "turn_exchange_id",
    )),
)  # fmt: skip

# What the page shows as a link or a name stands between U+E200 and U+E201, in parts that U+E202 divides.
_CITATION = re.compile("(?P<blank> ?)\ue200(?P<kind>[^\ue200-\ue202]*)(?P<parts>[^\ue200\ue201]*)(?:\ue201|\\Z)")
_STRAY = re.compile("[\ue200-\ue203]")


def read_message(message: object, place: str) -> tuple[Message | LostTurn, list[str]]:
    """A message as a turn, and the names of its fields that went to the turn's `meta`.

    Raises:
        UserError: it has no author or content, or its author is of no known role.
    """
    author = message.get("author") if isinstance(message, dict) else None
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(message, dict) or not isinstance(author, dict) or not isinstance(content, dict):
        raise UserError(f"{place} must have objects 'author' and 'content'")
    metadata = message.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise UserError(f"{place}.metadata must be an object, found {type(metadata).__name__}")
    role, kind = author.get("role"), str(content.get("content_type"))
    if role == "tool" or (role == "assistant" and message.get("recipient") not in (None, "all")):
        return LostTurn(TOOL, with_exchange=True), []
    if role not in ("system", "user", "assistant"):
        raise UserError(f"{place}.author.role: unknown role {role!r}")
    reason = _hidden(message, metadata, kind) or _not_text(kind, metadata, role)
    if reason:
        return LostTurn(reason, with_exchange=reason != HIDDEN, role=role), []
    text, media = _text(content, f"{place}.content")
    if media:
        return LostTurn(media_reason(media), with_exchange=True, role=role), []
    return _turn(role, text, message, metadata, place)


def _turn(role: Role, text: str, message: Record, metadata: Record, place: str) -> tuple[Message, list[str]]:
    others, more = _MESSAGE.others(message), _METADATA.others(metadata)
    names = [f"mapping[].message.{name}" for name in others]
    names += [f"mapping[].message.metadata.{name}" for name in more]
    weight = check_weight(message.get("weight"), f"{place}.weight")
    answer = role == "assistant"
    return Message(
        role,
        _without_citations(text) if answer else text,
        weight=None if weight == 1 else weight,
        truncated=answer and _is_unfinished(message, metadata),
        meta=merge_meta(others, more),
    ), names


def _hidden(message: Record, metadata: Record, kind: str) -> str | None:
    if kind in _BEHIND_THE_SCENES or message.get("channel") == "analysis":  # what was thought
        return HIDDEN
    # What the user or the maker of a custom GPT told the model beforehand is not shown, but answers follow it.
    told = message["author"]["role"] == "system" and metadata.get("is_user_system_message")
    return HIDDEN if metadata.get("is_visually_hidden_from_conversation") and not told else None


def _not_text(kind: str, metadata: Record, role: Role) -> str | None:
    """Why a message is no text; None if it may be."""
    if metadata.get("attachments"):
        return media_reason("attachments")
    if kind == "system_error":
        return PAGE_ERROR
    if kind in _TOOLS:
        return TOOL
    return None if kind in _TEXTS[role] else f"exchange with content of type {kind!r}"


def _text(content: Record, place: str) -> tuple[str, str | None]:
    """The text of a message, and the name of what is in it besides text; None if nothing is."""
    if isinstance(content.get("text"), str):
        return str(content["text"]), None
    parts = content.get("parts", [])
    if not isinstance(parts, list):
        raise UserError(f"{place}.parts must be a list, found {type(parts).__name__}")
    texts, recordings = [], []
    for part in parts:
        kind = str(part["content_type"]) if isinstance(part, dict) and "content_type" in part else None
        if isinstance(part, str):
            texts.append(part)
        elif kind == "audio_transcription" and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif kind in _RECORDINGS and not any(part.get(name) for name in _SHOWN_LIVE):
            recordings.append(str(kind))
        else:
            return "", kind or type(part).__name__
    if not texts and (recordings or content.get("content_type") != "text"):
        return "", recordings[0] if recordings else str(content.get("content_type"))
    return "\n".join(texts), None


def _is_unfinished(message: Record, metadata: Record) -> bool:
    """Whether an answer was stopped, or had not come to its end when it was exported."""
    details = metadata.get("finish_details")
    how = details.get("type") if isinstance(details, dict) else None
    return str(message.get("status")) in _UNFINISHED or how not in (None, "stop")


def _without_citations(text: str) -> str:
    """An answer without the marks of its citations; of an entity, which is one of its words, the name stays."""
    if not _STRAY.search(text):
        return text
    return _STRAY.sub("", _CITATION.sub(_shown, text))


def _shown(citation: re.Match[str]) -> str:
    if citation["kind"] != "entity":
        return ""
    try:
        entity: Any = json.loads(citation["parts"].lstrip("\ue202"))  # its type, its name, more
    except ValueError:
        return ""
    named = isinstance(entity, list) and len(entity) > 1 and isinstance(entity[1], str)
    return citation["blank"] + entity[1] if named else ""
