"""The drop ledger: kept + dropped (by named reason) = read, always."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from camelid.files.write import write_json

EXAMPLE = 300  # characters kept of an example


@dataclass
class Ledger:
    """Counts what became of every record (or turn, or reply) that was read.

    Attributes:
        unit: what is counted, in the plural ("records", "conversations", "turns").
        kept: how many went into the output.
        dropped: how many did not, by reason.
        repaired: how many were kept after a change, by kind of change (not part of the sum).
        set_aside: how many had a field that nothing here uses and that is kept in `meta`, by its name (not part of
            the sum).
        examples: what was first dropped for a reason, or what was said of it, where that is known.
        noted: how many were kept as they are although something is amiss, by what it is (not part of the sum).
    """

    unit: str
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    repaired: Counter[str] = field(default_factory=Counter)
    set_aside: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    noted: Counter[str] = field(default_factory=Counter)

    @property
    def read(self) -> int:
        return self.kept + self.dropped.total()

    def keep(self, count: int = 1) -> None:
        self.kept += count

    def drop(self, reason: str, count: int = 1, example: str = "") -> None:
        self.dropped[reason] += count
        if example and reason not in self.examples:
            self.examples[reason] = " ".join(example[:EXAMPLE].split())

    def repair(self, kind: str, count: int = 1) -> None:
        self.repaired[kind] += count

    def note(self, what: str, count: int = 1) -> None:
        self.noted[what] += count

    def add(self, other: "Ledger") -> None:
        """Take over another ledger's counts."""
        self.kept += other.kept
        for mine, more in zip(self._counters(), other._counters(), strict=True):
            if more:
                mine.update(more)
        if other.examples:
            self.examples = {**other.examples, **self.examples}

    def _counters(self) -> tuple[Counter[str], ...]:
        return self.dropped, self.repaired, self.set_aside, self.noted

    def to_json(self) -> dict[str, Any]:
        return {
            "unit": self.unit,
            "read": self.read,
            "kept": self.kept,
            "dropped": dict(self.dropped.most_common()),
            "repaired": dict(self.repaired.most_common()),
            **({"set_aside": dict(self.set_aside.most_common())} if self.set_aside else {}),
            **({"noted": dict(self.noted.most_common())} if self.noted else {}),
            **({"examples": self.examples} if self.examples else {}),
        }

    @staticmethod
    def from_json(value: dict[str, Any]) -> "Ledger":
        names = ("dropped", "repaired", "set_aside", "noted")
        dropped, repaired, set_aside, noted = (Counter(value.get(name, {})) for name in names)
        return Ledger(value["unit"], value["kept"], dropped, repaired, set_aside, value.get("examples", {}), noted)

    def summary(self) -> str:
        """One line: `read 120 records: kept 100, dropped 20 (too similar 15, empty 5)`."""
        reasons = ", ".join(f"{reason} {count}" for reason, count in self.dropped.most_common())
        dropped = f", dropped {self.dropped.total()} ({reasons})" if reasons else ", dropped 0"
        line = f"read {self.read} {self.unit}: kept {self.kept}{dropped}"
        for what, counts in (
            ("repaired", self.repaired),
            ("set aside in meta", self.set_aside),
            ("kept all the same", self.noted),
        ):
            if counts:
                line += f"; {what}: " + ", ".join(f"{name} {count}" for name, count in counts.most_common())
        return line


def write_ledgers(path: str | Path, ledgers: list[Ledger], **facts: object) -> None:
    """Write `{"ledgers": [...], **facts}` atomically beside the output it explains."""
    write_json(path, {"ledgers": [ledger.to_json() for ledger in ledgers], **facts})
