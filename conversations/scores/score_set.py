"""The scores of a set, in passes over its files, so that no more than columns of numbers are held."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from camelid.errors import UserError
from camelid.message import Conversation
from camelid.progress import Progress
from camelid.text.minhash import minhash_signature
from conversations.scores.difficulty import IFD, KeptLosses, instruction_following_difficulty
from conversations.scores.near_duplicates import NEAR_DUPLICATES, GroupSizes
from conversations.scores.score import ConversationScore, ScoreSource, held_scores
from conversations.scores.table import ALL_SCORES

BATCH = 64  # conversations whose losses are computed, and written down, together
ScoreColumn = list[float | None]


@dataclass
class ScoredSet:
    """The scores of a set; complete when its passes have been made.

    Attributes:
        read: goes over the conversations, the same each time.
        names: what is to be computed.
        seed: of the judge's requests, and of `random`.
        count: conversations.
        columns: by name, the score of each conversation, in their order.
        missing: by name of a score, how many conversations have none, by reason.
    """

    read: Callable[[], Iterator[Conversation]]
    names: Sequence[str]
    seed: int = 0
    count: int = 0
    columns: dict[str, ScoreColumn] = field(default_factory=dict)
    missing: dict[str, Counter[str]] = field(default_factory=dict)

    def asked(self, source: ScoreSource) -> list[ConversationScore]:
        """The scores to compute that are made from something."""
        return [ALL_SCORES[name] for name in self.names if ALL_SCORES[name].source == source]

    def measure(self, wanted: Sequence[str] = ()) -> None:
        """Compute what needs no model, and collect those of the wanted scores that `meta` has.

        Raises:
            UserError: no conversation has a score that is wanted.
        """
        alone, groups = self.asked("conversation"), GroupSizes() if self.asked("set") else None
        held = [name for name in wanted if name not in self.names]
        self.columns |= {name: [] for name in (*held, *(score.name for score in alone))}
        for conversation in self.read():
            self.count += 1
            for score in alone:
                assert score.of is not None, score.name
                self.columns[score.name].append(score.of(conversation, self.seed))
            known = held_scores(conversation) if held else {}
            for name in held:
                self.columns[name].append(known.get(name))
            if groups:
                groups.add(minhash_signature(conversation))
        if groups:
            self.columns[NEAR_DUPLICATES.name] = list(groups.sizes())
        for name in held:
            if self.count and all(value is None for value in self.columns[name]):
                raise UserError(f"score {name!r}: no conversation has it in meta.scores; name it behind --scores, too")

    def weigh_losses(self, kept: KeptLosses, quiet: bool) -> None:
        """Compute what is made from a local model's losses."""
        column, reasons = ScoreColumn(), Counter[str]()
        source = self.read()
        with Progress("losses", self.count, quiet) as bar:
            while batch := list(islice(source, BATCH)):
                for loss in kept.of(batch):
                    if isinstance(loss, str):
                        reasons[loss] += 1
                    column.append(None if isinstance(loss, str) else instruction_following_difficulty(loss))
                bar.update(len(column))
        self.add(IFD.name, column, reasons)

    def add(self, name: str, column: ScoreColumn, reasons: Counter[str]) -> None:
        """Take a column that was computed elsewhere, and why some have none."""
        self.columns[name] = column
        if reasons:
            self.missing[name] = reasons

    def scores_of(self, place: int) -> dict[str, float | None]:
        """What was computed for the conversation at a place, by name."""
        return {name: self.columns[name][place] for name in self.names}
