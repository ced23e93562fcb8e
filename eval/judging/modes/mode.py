"""What a judging mode is: one frozen object that says how a judge is asked, how its replies are read and counted.

`eval.judging.modes.table` holds them all. Who needs to know something about a mode asks a property, never its name.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from eval.results import Scale

WIN_RATE = Scale("win rate", "%", 0.0, 100.0, 50.0)

Scores = tuple[float, ...]
"""One number for each answer, in the order of showing."""
Parser = Callable[[str, Mapping[str, float]], Scores | None]
"""From a reply and the log-probabilities of `Mode.tokens` to the scores in it; None if they can't be told."""
CountedValue = Callable[[Scores, int], tuple[float, float]]
"""From an outcome's scores and a contestant's place to (value, weight); a score is the sum of values over weights."""


@dataclass(frozen=True, slots=True)
class Asking:
    """How a judge is asked.

    Attributes:
        prompt: its instructions: a file in `eval/data`, with `{reference_rule}` where the rule on references goes.
        names: what the judge calls the answers it is shown: one name where it grades, two where it compares.
        temperature, max_tokens: of its reply.
        extra: further fields of the request.
    """

    prompt: str
    names: tuple[str, ...]
    temperature: float
    max_tokens: int
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mode:
    """A way of judging.

    Attributes:
        name: on the command line, in judgments and in `results.json`.
        help: what `eval judge --help` says of it.
        method: what the page says was done.
        asking: how the judge is asked.
        parse: reads a reply.
        verdict: what one reply says: "grades" of the answers; the "winner" by name (or a tie); or "shares" of the win,
            probabilities, which add up to 1 as a winner's 1 and 0 do.
        verdict_range: lowest and highest of one score in a verdict.
        value: what an outcome counts for a contestant, on the scale.
        scale: what the mean of these values is.
        bounds: the lowest and the highest that it can be.
        canary_limit: the canary's score above which a judge counts as gamed, on the scale.
        claim: the verdict that the canary's answer claims for itself, in the mode's form.
        orders: of two answers: "both", each judged; or "drawn" from the seed. "one" where there is one answer.
        needs_baseline: all models are compared with one; otherwise all pairs are judged where no baseline is named.
        win_needs_both: a verdict that changes with the order is a tie, and counted; otherwise both orders' mean counts.
        sums: the score is a ratio of sums, the contestant's scores over the baseline's, which are shown, too.
        tokens: whose log-probabilities hold the verdict; they are kept with the judgment.
        ranking: how the judge is asked instead with `--ranking`; None if it can't be.
        verdict_first: the judge is asked for its verdict in the first line, and for its reasons after it.
        executed: no model is asked: answers are run with the tests of their tasks, and `asking.prompt` says how.
    """

    name: str
    help: str
    method: str
    asking: Asking
    parse: Parser
    verdict: Literal["grades", "winner", "shares"]
    verdict_range: tuple[float, float]
    value: CountedValue
    scale: Scale
    bounds: tuple[float, float]
    canary_limit: float
    claim: str = "Rating: [[10]]"
    orders: Literal["one", "both", "drawn"] = "both"
    needs_baseline: bool = False
    win_needs_both: bool = False
    sums: bool = False
    tokens: tuple[str, ...] = ()
    ranking: Asking | None = None
    verdict_first: bool = False
    executed: bool = False

    @property
    def paired(self) -> bool:
        """Whether the judge compares two answers: then there are wins, ties, losses, ratings and a baseline."""
        return len(self.asking.names) == 2

    @property
    def graded(self) -> bool:
        """Whether a verdict is a grade of each answer; otherwise it is shares of the win."""
        return self.verdict == "grades"

    @property
    def length_controlled(self) -> bool:
        """Whether there is a win rate at equal length: its model is of a share of the win (Dubois et al. 2024)."""
        return self.paired and not self.graded

    def ranked(self) -> "Mode":
        """The same mode, asked for a ranking."""
        assert self.ranking is not None
        return replace(self, asking=self.ranking)


def read_reply(mode: Mode, text: str, logprobs: Mapping[str, float], finish_reason: str = "stop") -> Scores | None:
    """The scores in a judge's reply; None if they can't be told.

    A reply that was cut off by the token limit counts only if a whole verdict ends it, in brackets that are closed:
    what would have come next may have been another. Where the verdict comes first, its line must be finished.

    Args:
        mode: how it was asked.
        text: the reply.
        logprobs: of `Mode.tokens`, where they were asked for.
        finish_reason: "length" if it was cut off.
    """
    if finish_reason != "length" or logprobs or text.strip() in mode.tokens:
        return mode.parse(text, logprobs)
    if mode.verdict_first:
        return mode.parse(text[: text.rfind("\n") + 1], logprobs)
    last = text.rstrip().rsplit("\n", 1)[-1]
    scores = mode.parse(last, logprobs) if last.rstrip("*_ ")[-1:] in ("]", "}") else None
    return scores if scores == mode.parse(text, logprobs) else None


def grade(scores: Scores, place: int) -> tuple[float, float]:
    """The grade itself: a mean grade."""
    return scores[place], 1.0


def percent(scores: Scores, place: int) -> tuple[float, float]:
    """How far it is correct, in percent."""
    return 100 * scores[place], 1.0


def share(scores: Scores, place: int) -> tuple[float, float]:
    """The share of the win, in percent: a win rate."""
    return 100 * scores[place], 1.0


def ratio(scores: Scores, place: int) -> tuple[float, float]:
    """The score over the other one's, in percent: a ratio of sums."""
    return 100 * scores[place], scores[1 - place]
