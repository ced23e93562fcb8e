"""What a set of preferences is like, before a model learns it: sizes, grades, lengths, sources, contradictions."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from conversations.preference import GRADES, LabelledAnswer, Preference, PreferenceRecord, prompt_key

MUCH_LONGER = 0.6  # ours: a share of longer chosen answers from which a model may learn length instead
UNEVEN = 3.0  # ours: how many labels of one kind there may be for each of the other

AuditLine = tuple[Literal["ok", "WARN"], str]


@dataclass
class PreferenceAudit:
    """Counts of a set; complete when all its records have been added.

    Attributes:
        pairs, labels: how many records of each shape.
        grades: of the pairs, by grade (None where there is none).
        safety: of the pairs that say it: (chosen safe, rejected safe).
        sources: whose preferences they are.
        lengths: of the pairs, by grade: chosen longer, shorter, equally long (characters).
        wanted: how many labels are true.
        conflicts: comparisons of two answers that one before had the other way round, or labels that one contradicts.
        repeats: comparisons or labels that say again what one before said.
        prompts: how many prompts there are.
        turns: of all prompts, the messages in them.
        characters: of all prompts, chosen (or wanted) and rejected (or unwanted) answers.
    """

    pairs: int = 0
    labels: int = 0
    grades: Counter[int | None] = field(default_factory=Counter)
    safety: Counter[tuple[bool, bool]] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    lengths: Counter[tuple[int | None, str]] = field(default_factory=Counter)
    wanted: int = 0
    conflicts: int = 0
    repeats: int = 0
    turns: int = 0
    characters: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._prompts: set[bytes] = set()
        self._said: dict[bytes, bool] = {}

    @property
    def prompts(self) -> int:
        return len(self._prompts)

    def add(self, record: PreferenceRecord) -> None:
        """Count a record."""
        prompt = prompt_key(record.prompt)
        self._prompts.add(_digest(prompt))
        self.sources[record.source or "unknown"] += 1
        self.turns += len(record.prompt)
        self.characters["prompt"] += sum(len(message.content) for message in record.prompt)
        if isinstance(record, LabelledAnswer):
            self.labels += 1
            self.wanted += record.label
            self.characters["chosen" if record.label else "rejected"] += len(record.answer.content)
            self._compare(_digest(prompt, record.answer.content), record.label)
        else:
            self._add_pair(record, prompt)

    def _add_pair(self, pair: Preference, prompt: str) -> None:
        chosen, rejected = pair.chosen.content, pair.rejected.content
        self.pairs += 1
        self.grades[pair.grade] += 1
        if pair.safety:
            self.safety[pair.safety.chosen, pair.safety.rejected] += 1
        longer = len(chosen) - len(rejected)
        self.lengths[pair.grade, "longer" if longer > 0 else "shorter" if longer < 0 else "equal"] += 1
        self.characters["chosen"] += len(chosen)
        self.characters["rejected"] += len(rejected)
        self._compare(_digest(prompt, *sorted((chosen, rejected))), chosen < rejected)

    def _compare(self, key: bytes, said: bool) -> None:
        before = self._said.get(key)
        if before is None:
            self._said[key] = said
        elif before == said:
            self.repeats += 1
        else:
            self.conflicts += 1

    def longer_share(self, grade: int | Literal["all"] | None = "all") -> float | None:
        """The share of pairs whose chosen answer is longer, of those that are not equally long; None without any."""
        counts = {
            way: sum(count for (of, one), count in self.lengths.items() if one == way and grade in ("all", of))
            for way in ("longer", "shorter")
        }
        total = sum(counts.values())
        return counts["longer"] / total if total else None

    @property
    def prompt_share(self) -> float | None:
        """The share of a pair's characters, prompt once and both answers, that are the prompt; None without pairs."""
        total = self.characters.total()
        return self.characters["prompt"] / total if self.pairs and total else None

    def findings(self) -> Iterator[AuditLine]:
        """What there is, line by line, with a warning where training would most likely learn something else."""
        count = self.pairs + self.labels
        yield "ok", f"pairs: {self.pairs:,}; labelled answers: {self.labels:,}; prompts: {self.prompts:,}"
        if not count:
            return
        chars = ", ".join(f"{name} {self.characters[name] / count:,.0f}" for name in ("prompt", "chosen", "rejected"))
        yield "ok", f"characters a record: {chars}; messages in a prompt {self.turns / count:.1f}"
        yield "ok", "source: " + ", ".join(f"{name} {number:,}" for name, number in self.sources.most_common(8))
        yield from self._pair_findings()
        if self.labels:
            unwanted = self.labels - self.wanted
            most, least = max(self.wanted, unwanted), min(self.wanted, unwanted)
            level: Literal["ok", "WARN"] = "WARN" if most > UNEVEN * least else "ok"
            yield level, f"labels: wanted {self.wanted:,}, unwanted {unwanted:,}"
        yield (
            ("WARN" if self.conflicts else "ok"),
            f"contradict one before: {self.conflicts:,}; repeat one: {self.repeats:,}",
        )

    def _pair_findings(self) -> Iterator[AuditLine]:
        share = self.longer_share()
        if share is not None:
            by_grade = [
                f"{GRADES[grade]} {of:.0%}"
                for grade in range(len(GRADES))
                if self.grades[grade] and (of := self.longer_share(grade)) is not None
            ]
            text = f"chosen is the longer answer: {share:.1%}" + (f" ({', '.join(by_grade)})" if by_grade else "")
            yield "WARN" if share >= MUCH_LONGER else "ok", text
        if any(grade is not None for grade in self.grades):
            named = [f"{GRADES[grade]} {self.grades[grade]:,}" for grade in reversed(range(len(GRADES)))]
            yield "ok", f"grades: {', '.join(named)}, none {self.grades[None]:,}"
        if self.safety:
            yield "ok", "safety: " + ", ".join(f"{name} {self.safety[both]:,}" for both, name in _BINS.items())
        if self.safety[False, True]:
            yield "WARN", f"unsafe answers chosen over safe ones: {self.safety[False, True]:,}"

    def to_json(self) -> dict[str, Any]:
        """For a ledger file."""
        return {
            "pairs": self.pairs,
            "labels": self.labels,
            "prompts": self.prompts,
            "grades": {
                "none" if grade is None else str(grade): self.grades[grade] for grade in sorted(self.grades, key=str)
            },
            "safety": {name: self.safety[both] for both, name in _BINS.items()} if self.safety else {},
            "sources": dict(self.sources.most_common()),
            "chosen_longer": self.longer_share(),
            "prompt_share": self.prompt_share,
            "wanted": self.wanted,
            "conflicts": self.conflicts,
            "repeats": self.repeats,
        }


_BINS = {  # LLaMA 2, section 3.2.1: only the chosen one safe, both, none; the fourth was thrown away there
    (True, False): "chosen alone safe",
    (True, True): "both safe",
    (False, False): "both unsafe",
    (False, True): "rejected alone safe",
}


def _digest(*texts: str) -> bytes:
    whole = hashlib.sha256()
    for text in texts:
        data = text.encode(errors="surrogatepass")
        whole.update(len(data).to_bytes(8, "big") + data)
    return whole.digest()[:16]
