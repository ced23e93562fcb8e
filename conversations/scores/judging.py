"""A set's exchanges before a judge: every grade asked for, and what the conversations' scores come to."""

from collections import Counter, deque
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass, field

from camelid.files.ledger import Ledger
from camelid.models.failure_streak import PATIENCE
from camelid.models.llm import FATAL, Failure, Reply, Request, complete_in_order
from camelid.models.model_run import ModelRun
from camelid.models.spend import CostEstimate
from camelid.progress import Progress
from conversations.scores.grades import PARTS, exchanges_of, grade_request, judged_scores, read_grade
from conversations.scores.score import ConversationScore
from conversations.scores.score_set import ScoredSet

NO_GRADE = "no grade in the reply"


@dataclass
class Judging:
    """Asks for the grades that a set's scores need.

    Attributes:
        scored: the set.
        grades: what became of every grade; those that are the number in a reply, without probabilities, are noted.
        stopped: why the judge was asked no further; None if it was to the end.
    """

    scored: ScoredSet
    grades: Ledger = field(default_factory=lambda: Ledger("grades"))
    stopped: str | None = None

    @property
    def failed(self) -> int:
        """How many grades the judge did not give for a reason that may be gone the next time."""
        return self.grades.dropped.total() - self.grades.dropped[NO_GRADE]

    async def run(self, model: ModelRun, quiet: bool) -> None:
        """Ask, and add the columns to the set.

        After a failure that no other request can escape, or after `PATIENCE` replies in a row without a grade, nothing
        more is sent; what the journal holds is still used.
        """
        wanted = [score.name for score in self.scored.asked("judge")]
        parts = list(dict.fromkeys(part for name in wanted for part in PARTS[name]))
        places: deque[tuple[int, ConversationScore]] = deque()  # of the requests that are under way
        found: list[dict[str, list[float]]] = [{part.name: [] for part in parts} for _ in range(self.scored.count)]
        without: dict[int, str] = {}  # why a conversation has no scores, by its place

        def requests() -> Iterator[Request]:
            for place, conversation in enumerate(self.scored.read()):
                exchanges = exchanges_of(conversation)
                if not exchanges:
                    without[place] = "no answer to grade"
                for question, answer in exchanges:
                    for part in parts:
                        places.append((place, part))
                        yield grade_request(part, question, answer, self.scored.seed)

        estimate, useless = CostEstimate(model.price, self.scored.count), 0
        with Progress("judge", self.scored.count, quiet) as bar:
            async with aclosing(complete_in_order(model, requests(), model.concurrency)) as results:
                async for _, result in results:
                    place, part = places.popleft()
                    grade = self._grade(result)
                    if isinstance(grade, str):
                        without.setdefault(place, grade)
                    else:
                        found[place][part.name].append(grade)
                    useless = useless + 1 if grade == NO_GRADE else 0
                    if useless == PATIENCE and self.grades.kept == 0:
                        model.give_up(f"the first {useless} replies held no grade, such as {_text(result)[:200]!r}")
                    estimate.add(result, done=bool(places) and places[0][0] != place)
                    bar.update(place, f"{model.facts()} | {estimate.facts()}")
        for name in wanted:
            column = [None if place in without else judged_scores(one)[name] for place, one in enumerate(found)]
            self.scored.add(name, column, Counter(without.values()))

    def _grade(self, result: Reply | Failure) -> float | str:
        """The grade, or why there is none."""
        if isinstance(result, Failure):
            if result.kind in FATAL:
                self.stopped = self.stopped or result.detail
            self.grades.drop(result.kind, example=result.detail)
            return f"not graded: {result.kind}"
        found = read_grade(result)
        if found is None:
            self.grades.drop(NO_GRADE, example=result.text)
            return NO_GRADE
        grade, by_probabilities = found
        self.grades.keep()
        if not by_probabilities:
            self.grades.note("the number in the reply, without probabilities")
        return grade


def _text(result: Reply | Failure) -> str:
    return result.text if isinstance(result, Reply) else result.detail
