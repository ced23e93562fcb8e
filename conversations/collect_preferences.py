"""Files of preferences in any format into our records, with what became of every comparison."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from camelid.errors import UserError
from camelid.files.ledger import Ledger
from camelid.files.read import Record
from camelid.files.records import scan_records
from camelid.files.write import dumps
from conversations.formats.beside import Beside, read_beside
from conversations.formats.chat import Chat
from conversations.formats.preferences.preference_format import (
    Marked,
    PreferenceFormat,
    ReadPreference,
    Unused,
)
from conversations.formats.preferences.split import split_last, split_pair
from conversations.formats.preferences.table import PREFERENCE_FORMATS, detect_preference_format
from conversations.formats.record_format import PlacedRecords
from conversations.preference import LabelledAnswer, Preference, PreferenceRecord
from conversations.unique_ids import unique_id
from conversations.unreadable import UNREADABLE


@dataclass
class PreferenceCollection:
    """Counts of one run; complete when its preferences have been drawn.

    Attributes:
        format: the name of the format of all records; None to detect it.
        ledgers: what became of every comparison, by its label (`helpful`, `safe`; most formats have none: empty).
        faults: for each unreadable record, its place and what is wrong with it.
    """

    format: str | None = None
    ledgers: dict[str, Ledger] = field(default_factory=lambda: {"": Ledger("comparisons")})
    faults: list[str] = field(default_factory=list)

    def run(self, paths: Iterable[str | Path]) -> Iterator[tuple[str, PreferenceRecord]]:
        """Yield each preference with its label, in order; ids that repeat get a number.

        Raises:
            UserError: a file is missing, or is broken where it cannot be read on.
        """
        ids: dict[str, set[str]] = {}
        for path in paths:
            for place, record in _gathered(scan_records(path)):
                for label, made in self._read(record, place):
                    name = unique_id(made.id, ids.setdefault(label, set()))
                    yield label, made if name == made.id else replace(made, id=name)

    def ledger(self, label: str) -> Ledger:
        """The counts of a label."""
        return self.ledgers.setdefault(label, Ledger(f"comparisons ({label})"))

    def _read(self, record: Record | UserError, place: str) -> list[tuple[str, PreferenceRecord]]:
        try:
            if isinstance(record, UserError):
                raise record
            format = PREFERENCE_FORMATS[self.format] if self.format else detect_preference_format(record, place)
            beside = read_beside(record, format.fields, place)
            try:
                found = list(format.read(record, place))
            except KeyError as error:
                raise UserError(
                    f"{place}: no field {error} in this {format.name} record; found {sorted(record)}"
                ) from None
            made = [(one, self._make(one, format, beside)) for one in found]
            dumps([record.to_json() for _, record in made if not isinstance(record, str)]).encode()
        except (UserError, ValueError, TypeError) as error:  # that cannot be read, or written as JSON
            self.faults.append(str(error) if isinstance(error, UserError) else f"{place}: cannot be written: {error}")
            self.ledger("").drop(UNREADABLE)
            return []
        return list(self._counted(made))

    def _counted(
        self, made: Iterable[tuple[ReadPreference, PreferenceRecord | str]]
    ) -> Iterator[tuple[str, PreferenceRecord]]:
        for one, result in made:
            label = "" if isinstance(one, Marked) else one.label
            ledger = self.ledger(label)
            for chat in _chats(one)[:1]:
                ledger.set_aside.update(chat.set_aside)
            if isinstance(result, str):
                ledger.drop(result)
            else:
                ledger.keep()
                yield label, result

    def _make(self, one: ReadPreference, format: PreferenceFormat, beside: Beside | None) -> PreferenceRecord | str:
        """The record of a comparison, or why there is none."""
        if isinstance(one, Unused):
            return one.reason
        if beside:
            list(beside.add_to(_chats(one)))
        if isinstance(one, Marked):
            last = split_last(one.chat, one.model)
            if isinstance(last, str):
                return last
            talk = one.chat.conversation
            return LabelledAnswer(talk.id, *last, one.wanted, one.source or format.source, talk.meta)
        pair = split_pair(one.chosen, one.rejected, one.models)
        if isinstance(pair, str):
            return pair
        talk = one.chosen.conversation
        meta = {**talk.meta, **one.meta}
        return Preference(talk.id, *pair, one.grade, one.safety, one.source or format.source, meta)


def _gathered(records: PlacedRecords) -> PlacedRecords:
    for format in PREFERENCE_FORMATS.values():
        if format.gather:
            records = format.gather(records)
    return records


def _chats(one: ReadPreference) -> list[Chat]:
    if isinstance(one, Unused):
        return []
    return [one.chat] if isinstance(one, Marked) else [one.chosen, one.rejected]
