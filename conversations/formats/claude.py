"""The `conversations.json` of a Claude account export: the messages of each chat, which may branch."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from camelid.errors import UserError
from camelid.files.read import Record
from camelid.message import Conversation, Message, record_id
from conversations.formats.branches import TrainedOnce
from conversations.formats.chat import Branches, Chat
from conversations.formats.fields import KnownFields, list_field
from conversations.formats.record_format import RecordFormat
from conversations.formats.turns import TurnList

_TURNS = TurnList("chat_messages", speaker="sender", tools=False)
_FILES = ("attachments", "files", "files_v2")


def from_claude(record: Record, place: str, branches: Branches) -> Iterator[Chat]:
    """Every branch of a chat, or the one its page shows.

    A branch beyond the shown one gets the id `<uuid>/<number>`; `meta.tree` names what it is a branch of.
    """
    messages = [_turn(message) for message in list_field(record, "chat_messages", place)]
    name = record_id(record, str(record.get("uuid") or place))
    if not messages:
        yield Chat(Conversation(name, ()))
        return
    paths = _paths(messages, record.get("current_leaf_message_uuid"), place)
    once, read = TrainedOnce(), dict[str, Message]()
    for number, path in enumerate(paths[:1] if branches == "last" else paths, start=1):
        one = name if number == 1 else f"{name}/{number}"
        chat = _TURNS.read({"id": one, "chat_messages": path}, place)
        if len(paths) == 1:
            yield chat
        else:
            yield once(_with_same_turns(chat, read, name))


def _turn(message: object) -> Any:
    """A message without `text`, which repeats the parts of its content in plain, and with one field for its files."""
    if not isinstance(message, dict):
        return message
    kept = {name: value for name, value in message.items() if name not in ("text", *_FILES)}
    files = next((message[name] for name in _FILES if message.get(name)), None)
    return {**kept, "content": message.get("content") or message.get("text"), "attachments": files}


def _paths(messages: list[Any], shown: object, place: str) -> list[list[Any]]:
    """The messages of each branch, the shown one's first; all of them where nothing says that they branch."""
    nodes = {str(message.get("uuid")): message for message in messages if isinstance(message, dict)}
    parents = {name: message.get("parent_message_uuid") for name, message in nodes.items()}
    leaves = [name for name in nodes if name not in parents.values()]
    if len(nodes) < len(messages) or len(leaves) < 2 or all(parent is None for parent in parents.values()):
        return [messages]
    first = shown if isinstance(shown, str) and shown in leaves else leaves[-1]
    return [_path(nodes, leaf, place) for leaf in (first, *(leaf for leaf in leaves if leaf != first))]


def _path(nodes: dict[str, Record], leaf: str, place: str) -> list[Record]:
    """The messages from the root, whose parent is none of them, to a leaf."""
    path: dict[str, Record] = {}
    name: object = leaf
    while isinstance(name, str) and name in nodes:
        if name in path:
            raise UserError(f"{place}: chat_messages: message {name!r} is its own ancestor")
        path[name] = nodes[name]
        name = nodes[name].get("parent_message_uuid")
    return list(reversed(path.values()))


def _with_same_turns(chat: Chat, read: dict[str, Message], tree: str) -> Chat:
    """A branch with the messages that were read for a branch before, by their ids."""
    talk = chat.conversation
    messages = tuple(read.setdefault(str(message.meta.get("uuid")), message) for message in talk.messages)
    return replace(chat, conversation=replace(talk, messages=messages, meta={**talk.meta, "tree": tree}))


CLAUDE = RecordFormat(
    name="claude",
    called="Claude export",
    field="chat_messages",
    looks_like="`conversations.json` of an account export",
    fields=KnownFields(frozenset(("id", "chat_messages", "current_leaf_message_uuid")), frozenset(("account",))),
    is_one=lambda record: isinstance(record.get("chat_messages"), list),
    read=from_claude,
    notes="thoughts are kept apart",
    turns="chat_messages",
    last_branch="last shown",
)
