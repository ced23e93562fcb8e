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
        examples: what was first dropped for a reason, or what was said of it, where that is known.
    """

    unit: str
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    repaired: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

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

    def add(self, other: "Ledger") -> None:
        """Take over another ledger's counts."""
        self.kept += other.kept
        self.dropped.update(other.dropped)
        self.repaired.update(other.repaired)
        self.examples = {**other.examples, **self.examples}

    def to_json(self) -> dict[str, Any]:
        return {
            "unit": self.unit,
            "read": self.read,
            "kept": self.kept,
            "dropped": dict(self.dropped.most_common()),
            "repaired": dict(self.repaired.most_common()),
            **({"examples": self.examples} if self.examples else {}),
        }

    @staticmethod
    def from_json(value: dict[str, Any]) -> "Ledger":
        counts = Counter(value["dropped"]), Counter(value["repaired"])
        return Ledger(value["unit"], value["kept"], *counts, examples=value.get("examples", {}))

    def summary(self) -> str:
        """One line: `read 120 records: kept 100, dropped 20 (too similar 15, empty 5)`."""
        reasons = ", ".join(f"{reason} {count}" for reason, count in self.dropped.most_common())
        dropped = f", dropped {self.dropped.total()} ({reasons})" if reasons else ", dropped 0"
        changes = ", ".join(f"{kind} {count}" for kind, count in self.repaired.most_common())
        return f"read {self.read} {self.unit}: kept {self.kept}{dropped}" + (
            f"; repaired: {changes}" if changes else ""
        )


def write_ledgers(path: str | Path, ledgers: list[Ledger], **facts: object) -> None:
    """Write `{"ledgers": [...], **facts}` atomically beside the output it explains."""
    write_json(path, {"ledgers": [ledger.to_json() for ledger in ledgers], **facts})
