"""What Camelid knows of a format that preferences come in: one `PreferenceFormat` for each, in a file of its own."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from camelid.files.read import Record
from conversations.formats.chat import Chat
from conversations.formats.fields import KnownFields
from conversations.formats.record_format import PlacedRecords
from conversations.preference import Safety

TIE = "tie"  # neither answer is preferred: a record that says so teaches nothing


@dataclass(frozen=True, slots=True)
class Compared:
    """Two answers of which one is preferred, each with all that comes before it.

    Attributes:
        chosen, rejected: the whole chats, which begin with the prompt (`conversations/formats/preferences/split.py`).
        models: who wrote the two answers.
        grade: by how much, an index into `conversations.preference.GRADES`; None if that was not asked.
        safety: whether each is safe; None if that was not asked.
        label: which of several labels of its record it is (`helpful`, `safe`); empty where there is one alone.
        meta: anything else worth keeping of it.
        source: whose preference it is, where the record says so; empty for its format's.
    """

    chosen: Chat
    rejected: Chat
    models: tuple[str | None, str | None] = (None, None)
    grade: int | None = None
    safety: Safety | None = None
    label: str = ""
    meta: dict[str, Any] = field(default_factory=dict)
    source: str = ""


@dataclass(frozen=True, slots=True)
class Marked:
    """One answer, with all that comes before it, and whether it is wanted; `model`, `source` as of `Compared`."""

    chat: Chat
    wanted: bool
    model: str | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class Unused:
    """A comparison that says nothing of use, and why; `label` as of `Compared`."""

    reason: str
    label: str = ""


ReadPreference = Compared | Marked | Unused


@dataclass(frozen=True)
class PreferenceFormat:
    """A shape of record.

    Attributes:
        name: what `--format` calls it.
        called: what docs and errors call it.
        looks_like: what its records look like; Markdown, for the table in docs/preference.md.
        names: the fields by which its records are told, of which a record that is none has none: asked first, of
            every record that is read.
        marks: the fields by which a record is one, for the error that no chat is read from it; empty if it is none.
        fields: the record's fields that `read` takes care of. What may stand beside them in any format is read for
            all of them (`conversations/formats/beside.py`), and whatever else there is goes to `meta`.
        read: the comparisons of a record, given its place for errors. It may leave a missing field to `KeyError`;
            whatever else is wrong with the record is a `UserError`.
        source: whose preferences they are, as of a `Preference`; empty if records may be anybody's.
        notes: what else that table says of it; Markdown.
        gather: puts records that are compared with each other into one, and passes all others through; None if a
            record stands for itself.
    """

    name: str
    called: str
    looks_like: str
    names: frozenset[str]
    marks: Callable[[Record], tuple[str, ...]]
    fields: KnownFields
    read: Callable[[Record, str], Iterable[ReadPreference]]
    source: str = ""
    notes: str = ""
    gather: Callable[[PlacedRecords], PlacedRecords] | None = None


def all_fields(*names: str) -> Callable[[Record], tuple[str, ...]]:
    """The `marks` of a format that is told by fields which stand together."""

    def marks(record: Record) -> tuple[str, ...]:
        return names if record.keys() >= set(names) else ()

    return marks
