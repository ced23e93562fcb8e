"""The files of a run: its records, and beside them ledger, journals and lock. None is ever another run's."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from camelid.errors import UserError
from camelid.files.paths import beside, refuse_overwriting
from camelid.files.read import file_hash, read_json

LEDGER, JOURNAL, LOCK = ".ledger.json", ".journal.jsonl", ".lock"
CANDIDATES, CONVERSATIONS = ".candidates.jsonl", ".conversations.jsonl"
# What records are made from: with other values it would be another data set. Filters and the count can change.
_ORIGIN = (
    "model",
    "method",
    "format",
    "seeds",
    "instructions",
    "seed",
    "seed_kinds",
    "texts",
    "prompt",
    "persona",
    "turns",
    "prompts",
)


@dataclass(frozen=True)
class RunFiles:
    """Where a run writes.

    Attributes:
        output: the records.
    """

    output: Path

    @property
    def ledger(self) -> Path:
        return beside(self.output, LEDGER)

    @property
    def journal(self) -> Path:
        return beside(self.output, JOURNAL)

    @property
    def quality_journal(self) -> Path:
        return beside(self.output, f".quality{JOURNAL}")

    @property
    def answers_journal(self) -> Path:
        return beside(self.output, f".answers{JOURNAL}")

    @property
    def programs_journal(self) -> Path:
        return beside(self.output, f".programs{JOURNAL}")

    @property
    def candidates(self) -> Path:
        return beside(self.output, CANDIDATES)

    @property
    def conversations(self) -> Path:
        return beside(self.output, CONVERSATIONS)

    @property
    def lock(self) -> Path:
        return beside(self.output, LOCK)

    def check(self, inputs: Iterable[str | Path]) -> None:
        """Refuse to write over what is read, or over the ledger or journal of another run.

        Raises:
            UserError: one of the files is an input, or the output has the name of a file beside another output.
        """
        if self.output.name.endswith((LEDGER, JOURNAL, CANDIDATES, CONVERSATIONS, LOCK)):
            raise UserError(
                f"--output {self.output}: has the name of another run's ledger, journal or lock; give another"
            )
        inputs = list(inputs)
        for path in (
            self.output,
            self.ledger,
            self.journal,
            self.quality_journal,
            self.answers_journal,
            self.programs_journal,
            self.conversations,
            self.candidates,
        ):
            refuse_overwriting(path, inputs)

    def is_finished(self, asked: Mapping[str, object]) -> bool:
        """Whether the same command has already run to its end and its output is still what it wrote.

        Raises:
            UserError: another run has, and its output would be replaced.
        """
        if not (self.output.is_file() and self.ledger.is_file()):
            return False
        facts = read_json(self.ledger)
        untouched = facts["complete"] and facts["sha256"] == file_hash(self.output)
        if untouched:
            for name in _ORIGIN:
                before = facts["asked"].get(name, asked.get(name))
                if before != asked.get(name):
                    raise UserError(
                        f"{self.output}: made by another run ({name} {before}, now {asked.get(name)}); give another "
                        "--output, or move it away with its ledger"
                    )
        return bool(untouched and facts["asked"] == asked)
