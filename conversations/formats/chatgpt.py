"""The `conversations.json` of a ChatGPT account export: a tree of messages for each chat."""

from collections.abc import Iterator
from typing import Any

from camelid.errors import UserError
from camelid.files.read import Record
from camelid.message import Message
from conversations.formats.chat import HIDDEN, MEDIA, TOOL, Branches, Chat, LostTurn, make_chat
from conversations.formats.fields import KnownFields
from conversations.formats.record_format import RecordFormat

# Kinds of content that the export keeps but the page does not show as an answer.
_BEHIND_THE_SCENES = {"user_editable_context", "model_editable_context", "thoughts", "reasoning_recap"}


def from_chatgpt(record: Record, place: str, branches: Branches) -> Iterator[Chat]:
    """Every branch of a chat, or the one its page shows last.

    A branch beyond the shown one gets the id `<id>/<number>`; `meta.tree` names what it is a branch of.
    """
    mapping = record["mapping"]
    name = str(record.get("conversation_id") or record.get("id") or place)
    children = {key: _children(node, f"{place}: mapping[{key!r}]") for key, node in mapping.items()}
    leaves = [key for key in mapping if not any(child in mapping for child in children[key])]
    if not leaves:
        raise UserError(f"{place}: field 'mapping' has no last message")
    shown = record.get("current_node")
    if shown not in mapping:
        shown = leaves[-1]
    others = [] if branches == "last" else [leaf for leaf in leaves if leaf != shown]
    title = {"title": record["title"]} if isinstance(record.get("title"), str) else {}
    for number, leaf in enumerate([shown, *others], start=1):
        turns = [turn for key in _path(mapping, leaf, place) for turn in _turns(mapping[key], place, key)]
        meta = {**title, "tree": name} if len(leaves) > 1 else title
        yield make_chat(name if number == 1 else f"{name}/{number}", turns, meta)


def _children(node: object, place: str) -> list[Any]:
    children = node.get("children", []) if isinstance(node, dict) else None
    if not isinstance(children, list):
        raise UserError(f"{place} must be an object with 'message', 'parent' and a list 'children'")
    return children


def _path(mapping: Record, leaf: str, place: str) -> list[str]:
    """The keys from the root to a leaf."""
    path: dict[str, None] = {}
    key: Any = leaf
    while isinstance(key, str) and key in mapping:
        if key in path:
            raise UserError(f"{place}: mapping[{key!r}] is its own ancestor")
        path[key] = None
        key = mapping[key].get("parent")
    return list(reversed(path))


def _turns(node: Record, place: str, key: str) -> Iterator[Message | LostTurn]:
    message = node.get("message")
    if message is None:  # the root
        return
    where = f"{place}: mapping[{key!r}].message"
    author = message.get("author") if isinstance(message, dict) else None
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(author, dict) or not isinstance(content, dict):
        raise UserError(f"{where} must have objects 'author' and 'content'")
    role, kind = author.get("role"), str(content.get("content_type"))
    metadata = message.get("metadata") if isinstance(message.get("metadata"), dict) else {}
    if role == "tool" or (role == "assistant" and message.get("recipient") not in (None, "all")):
        yield LostTurn(TOOL, with_exchange=True)
    elif role not in ("system", "user", "assistant"):
        raise UserError(f"{where}.author.role: unknown role {role!r}")
    elif kind in _BEHIND_THE_SCENES or metadata.get("is_visually_hidden_from_conversation"):
        yield LostTurn(HIDDEN)
    else:
        text = _text(content, kind, where)
        yield LostTurn(MEDIA, with_exchange=True, role=role) if text is None else Message(role, text)


def _text(content: Record, kind: str, place: str) -> str | None:
    """The text of a message; None if it is not text alone."""
    if isinstance(content.get("text"), str):
        return str(content["text"])
    parts = content.get("parts", [])
    if not isinstance(parts, list):
        raise UserError(f"{place}.content of type {kind!r}: field 'parts' must be a list")
    texts = []
    for part in parts:
        if isinstance(part, dict) and part.get("content_type") == "audio_transcription":
            part = part.get("text")
        if not isinstance(part, str):
            return None
        texts.append(part)
    return "\n".join(texts) if texts or kind == "text" else None


CHATGPT = RecordFormat(
    name="chatgpt",
    called="ChatGPT export",
    field="mapping",
    looks_like="`conversations.json` of an account export",
    fields=KnownFields(
        frozenset(("id", "conversation_id", "mapping", "current_node", "title")),
        frozenset(("safe_urls", "blocked_urls")),
    ),
    is_one=lambda record: isinstance(record.get("mapping"), dict),
    read=from_chatgpt,
    last_branch="last shown",
)
