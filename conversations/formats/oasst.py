"""OpenAssistant: trees of messages, as one tree a line or as one message a row."""

from collections.abc import Iterator

from camelid.errors import UserError
from camelid.files.read import Record
from camelid.message import Message, Role
from conversations.formats.branches import TrainedOnce
from conversations.formats.chat import NO_TEXT, Branches, Chat, LostTurn, make_chat
from conversations.formats.fields import KnownFields, text_field
from conversations.formats.record_format import PlacedRecords, RecordFormat

_ROLES: dict[str, Role] = {"prompter": "user", "assistant": "assistant"}
_UNRANKED = 1 << 30
# The state of a tree that went through all of OpenAssistant's steps (Köpf et al. 2023, appendix B).
_READY = "ready_for_export"
_SPAM = 0.5  # share of the labellers who called a message spam, from which on it is
_NODE = KnownFields(
    frozenset(("text", "role", "replies", "rank", "deleted", "review_result", "tree_state")),
    frozenset(("message_id", "parent_id", "message_tree_id", "user_id", "review_count", "emojis")),
)


def from_oasst(record: Record, place: str, branches: Branches) -> Iterator[Chat]:
    """Every branch of a tree, or the one with the best ranked reply at every step.

    A branch beyond the best gets the id `<tree>/<number>`; `meta.tree` names the tree.
    """
    name = str(record.get("message_tree_id") or place)
    state = record.get("tree_state")
    turns: dict[int, Message | LostTurn] = {}  # by the ids of their nodes
    once = TrainedOnce()
    for number, path in enumerate(_paths(record["prompt"], place), start=1):
        for node in path:
            if id(node) not in turns:
                turns[id(node)] = _turn(node, state, place)
        meta = {"tree": name, **{key: path[0][key] for key in ("lang",) if path[0].get(key)}}
        chat = make_chat(name if number == 1 else f"{name}/{number}", [turns[id(node)] for node in path], meta)
        chat.set_aside.update(f"prompt.{key}" for one in chat.conversation.messages for key in one.meta)
        yield once(chat)
        if branches == "last":
            return


def _turn(node: Record, state: object, place: str) -> Message | LostTurn:
    role = _role(node, place)
    reason = _refusal(node, node.get("tree_state") or state)
    if reason:
        return LostTurn(reason, with_exchange=True, role=role)
    if node.get("text", "") is None:
        return LostTurn(NO_TEXT, with_exchange=True, role=role)
    return Message(role, text_field(node, "text", place), meta=_NODE.others(node))


def _refusal(node: Record, state: object) -> str | None:
    """Why OpenAssistant's users would not have a message in a data set; None if they would."""
    if state not in (None, _READY):
        return f"turn of a tree in the state {state!r}"
    if node.get("deleted"):
        return "turn that was deleted"
    if node.get("review_result") is False:
        return "turn that reviewers rejected"
    return "turn that labellers called spam" if _spam(node.get("labels")) >= _SPAM else None


def _spam(labels: object) -> float:
    """The mean of the labels `spam`: of a tree's message, or of a row, which has lists of names and of values."""
    if not isinstance(labels, dict):
        return 0.0
    value: object = labels.get("spam")
    if isinstance(value, dict):
        value = value.get("value")
    names, values = labels.get("name"), labels.get("value")
    if isinstance(names, list) and isinstance(values, list) and "spam" in names[: len(values)]:
        value = values[names.index("spam")]
    return float(value) if isinstance(value, int | float) else 0.0


def _paths(root: object, place: str) -> Iterator[list[Record]]:
    """The ways from the root to each leaf, the best ranked first."""
    stack: list[list[Record]] = [[_node(root, place)]]
    while stack:
        path = stack.pop()
        replies = path[-1].get("replies") or []
        if not isinstance(replies, list):
            raise UserError(f"{place}: field 'replies' must be a list, found {type(replies).__name__}")
        ranked = sorted((_node(reply, place) for reply in replies), key=_standing, reverse=True)
        if not ranked:
            yield path
        stack += [[*path, reply] for reply in ranked]


def _node(value: object, place: str) -> Record:
    if not isinstance(value, dict):
        raise UserError(f"{place}: a message must be an object with 'role' and 'text', found {type(value).__name__}")
    return value


def _standing(node: Record) -> tuple[bool, float]:
    """What sorts the best ranked reply first, and behind all others those that nobody should have."""
    rank = node.get("rank")
    return _refusal(node, None) is not None, rank if isinstance(rank, int | float) else _UNRANKED


def _role(node: Record, place: str) -> Role:
    role = node.get("role")
    if not isinstance(role, str) or role not in _ROLES:
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
    fields=KnownFields(frozenset(("message_tree_id", "tree_state", "prompt"))),
    is_one=lambda record: isinstance(record.get("prompt"), dict),
    read=from_oasst,
    last_branch="best ranked",
    gather=grow_trees,
)
