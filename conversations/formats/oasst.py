"""OpenAssistant: trees of messages, as one tree a line or as one message a row."""

from collections.abc import Iterator
from typing import Any

from camelid.errors import UserError
from camelid.files.read import Record
from camelid.message import Message, Role
from conversations.formats.chat import Branches, Chat, LostTurn, make_chat
from conversations.formats.fields import KnownFields, text_field
from conversations.formats.record_format import PlacedRecords, RecordFormat

_ROLES: dict[Any, Role] = {"prompter": "user", "assistant": "assistant"}
_UNRANKED = 1 << 30


def from_oasst(record: Record, place: str, branches: Branches) -> Iterator[Chat]:
    """Every branch of a tree, or the one with the best ranked reply at every step.

    A branch beyond the best gets the id `<tree>/<number>`; `meta.tree` names the tree.
    """
    name = str(record.get("message_tree_id") or place)
    for number, path in enumerate(_paths(record["prompt"], place), start=1):
        turns = [
            LostTurn("turn that was deleted", with_exchange=True, role=_role(node, place))
            if node.get("deleted")
            else Message(_role(node, place), text_field(node, "text", place))
            for node in path
        ]
        meta = {"tree": name, **{key: path[0][key] for key in ("lang",) if path[0].get(key)}}
        yield make_chat(name if number == 1 else f"{name}/{number}", turns, meta)
        if branches == "last":
            return


def _paths(root: object, place: str) -> Iterator[list[Record]]:
    """The ways from the root to each leaf, the best ranked first."""
    stack: list[list[Record]] = [[_node(root, place)]]
    while stack:
        path = stack.pop()
        replies = path[-1].get("replies") or []
        if not isinstance(replies, list):
            raise UserError(f"{place}: field 'replies' must be a list, found {type(replies).__name__}")
        ranked = sorted((_node(reply, place) for reply in replies), key=_rank, reverse=True)
        if not ranked:
            yield path
        stack += [[*path, reply] for reply in ranked]


def _node(value: object, place: str) -> Record:
    if not isinstance(value, dict):
        raise UserError(f"{place}: a message must be an object with 'role' and 'text', found {type(value).__name__}")
    return value


def _rank(node: Record) -> int:
    rank = node.get("rank")
    return int(rank) if isinstance(rank, int | float) else _UNRANKED


def _role(node: Record, place: str) -> Role:
    role = node.get("role")
    if role not in _ROLES:
        raise UserError(f"{place}: unknown role {role!r}; known: assistant, prompter")
    return _ROLES[role]


def is_row(record: Record | UserError) -> bool:
    """Whether a record is one message of a tree."""
    return isinstance(record, dict) and {"message_id", "parent_id", "message_tree_id", "text"} <= record.keys()


def grow_trees(records: PlacedRecords) -> PlacedRecords:
    """Put the rows of one tree, which stand one after the other, together; pass all else through."""
    rows: list[tuple[str, Record]] = []
    for place, record in records:
        row = isinstance(record, dict) and is_row(record)
        if rows and not (row and isinstance(record, dict) and _tree(record) == _tree(rows[0][1])):
            yield from _grown(rows)
            rows = []
        if row and isinstance(record, dict):
            rows.append((place, record))
        else:
            yield place, record
    yield from _grown(rows)


def _tree(row: Record) -> str:
    return str(row["message_tree_id"])


def _grown(rows: list[tuple[str, Record]]) -> PlacedRecords:
    """The tree of these rows; a row whose parent is not among them yields an error."""
    nodes = {str(row["message_id"]): {**row, "replies": []} for _, row in rows}
    root = None
    for place, row in rows:
        node, parent = nodes[str(row["message_id"])], row["parent_id"]
        if parent is None and root is None:
            root = (place, {"message_tree_id": row["message_tree_id"], "prompt": node})
        elif str(parent) in nodes and str(parent) != str(row["message_id"]):
            nodes[str(parent)]["replies"].append(node)
        else:
            yield place, UserError(f"{place}: parent {parent!r} is not beside it; sort the rows by message_tree_id")
    if root:
        yield root


OASST = RecordFormat(
    name="oasst",
    called="OASST tree",
    field="prompt",
    looks_like="OpenAssistant trees, or their messages as rows",
    fields=KnownFields(frozenset(("message_tree_id", "prompt"))),
    is_one=lambda record: isinstance(record.get("prompt"), dict),
    read=from_oasst,
    last_branch="best ranked",
    gather=grow_trees,
)
