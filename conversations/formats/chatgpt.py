"""The `conversations.json` of a ChatGPT account export: a tree of messages for each chat."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from camelid.errors import UserError
from camelid.files.read import Record
from camelid.message import Message
from conversations.formats.branches import TrainedOnce
from conversations.formats.chat import CONTINUED, Branches, Chat, LostTurn, continue_answer, make_chat
from conversations.formats.chatgpt_message import read_message
from conversations.formats.fields import KnownFields
from conversations.formats.record_format import RecordFormat


def from_chatgpt(record: Record, place: str, branches: Branches) -> Iterator[Chat]:
    """Every branch of a chat, or the one its page shows last.

    A branch beyond the shown one gets the id `<id>/<number>`; `meta.tree` names what it is a branch of.
    """
    mapping = record["mapping"]
    if not isinstance(mapping, dict):
        raise UserError(f"{place}: field 'mapping' must be an object, found {type(mapping).__name__}")
    name = str(record.get("conversation_id") or record.get("id") or place)
    children = {key: _children(node, f"{place}: mapping[{key!r}]") for key, node in mapping.items()}
    leaves = [key for key in mapping if not any(child in mapping for child in children[key])]
    if not leaves:
        raise UserError(f"{place}: field 'mapping' has no last message")
    shown = record.get("current_node")
    if not isinstance(shown, str) or shown not in mapping:
        shown = leaves[-1]
    others = [] if branches == "last" else [leaf for leaf in leaves if leaf != shown]
    tree, once = _Tree(mapping, place), TrainedOnce()
    meta = {"tree": name} if len(leaves) > 1 else {}
    for number, leaf in enumerate([shown, *others], start=1):
        yield once(tree.branch(leaf, name if number == 1 else f"{name}/{number}", dict(meta)))


@dataclass
class _Tree:
    """A tree whose messages are read once, however many branches they stand in.

    Attributes:
        nodes: by their keys.
        turns: those read so far, with the names of the fields set aside; None for a root without a message.
        whole: answers that go on from one message to the next, by the ids of the two.
    """

    nodes: Record
    place: str
    turns: dict[str, tuple[Message | LostTurn, list[str]] | None] = field(default_factory=dict)
    whole: dict[tuple[int, int], Message] = field(default_factory=dict)

    def branch(self, leaf: str, name: str, meta: dict[str, Any]) -> Chat:
        """The chat that ends with a leaf."""
        path = [turn for key in _path(self.nodes, leaf, self.place) if (turn := self._turn(key))]
        turns = self._continued(turn for turn, _ in path)
        chat = make_chat(name, turns, meta)
        chat.set_aside.update(one for _, names in path for one in names)
        if len(turns) < len(path):
            chat.repaired[CONTINUED] = len(path) - len(turns)
        return chat

    def _turn(self, key: str) -> tuple[Message | LostTurn, list[str]] | None:
        if key not in self.turns:
            message = self.nodes[key].get("message")
            where = f"{self.place}: mapping[{key!r}].message"
            self.turns[key] = None if message is None else read_message(message, where)
        return self.turns[key]

    def _continued(self, turns: Iterable[Message | LostTurn]) -> list[Message | LostTurn]:
        """The turns with each answer that was cut off joined with the one that goes on where it stopped."""
        joined: list[Message | LostTurn] = []
        for turn in turns:
            last = joined[-1] if joined else None
            if isinstance(last, Message) and last.truncated and isinstance(turn, Message) and turn.role == "assistant":
                pair = (id(last), id(turn))
                joined[-1] = self.whole.setdefault(pair, continue_answer(last, turn))
            else:
                joined.append(turn)
        return joined


def _children(node: object, place: str) -> list[Any]:
    children = node.get("children", []) if isinstance(node, dict) else None
    if not isinstance(children, list):
        raise UserError(f"{place} must be an object with 'message', 'parent' and a list 'children'")
    return [child for child in children if isinstance(child, str)]


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


CHATGPT = RecordFormat(
    name="chatgpt",
    called="ChatGPT export",
    field="mapping",
    looks_like="`conversations.json` of an account export",
    fields=KnownFields(
        frozenset(("mapping", "current_node")),
        # Lists of links that the page may or may not open.
        frozenset(("safe_urls", "blocked_urls")),
    ),
    is_one=lambda record: isinstance(record.get("mapping"), dict),
    read=from_chatgpt,
    last_branch="last shown",
)
