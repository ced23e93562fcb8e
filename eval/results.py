"""Every number of a report, as plain data: what `results.json` holds and what all pages are made from.

`eval.numbers.summarise` makes a `Results`; `eval.report.page.render_page(results, questions, ...)` and
`eval.report.markdown.render_markdown(results)` show it, and compute no number of their own. `eval.report.headline` is
the finding in one sentence, the same everywhere. A number that cannot be known is None, and a note says why.

How judgments are represented: one `eval.judging.judgment.Judgment` is one request to one judge, with its raw reply.
Its `models` are the contestants in the order the judge saw them (one in `single`, two otherwise) and its `scores` one
number for each. A pair judged in both orders is two judgments. `eval.numbers.outcomes.outcomes(judgments, baseline)`
brings together what belongs together (both orders of a pair) as `Outcome`s, each with its judgments, for the question
browser. Judgments may be of models that are not in `Results.models`: the canary (`eval.judging.canary.LABEL`).
"""

from dataclasses import dataclass
from typing import Any

from camelid.config import from_tree, to_tree


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean, or another statistic, and its 95% interval.

    Attributes:
        mean: the statistic.
        low, high: the ends of its interval; None with a single question, which says nothing about others.
        error: its standard error; None likewise.
        count: scores that went in.
        questions: questions they came from; the interval treats a question's scores as belonging together.
    """

    mean: float
    low: float | None
    high: float | None
    error: float | None
    count: int
    questions: int


@dataclass(frozen=True, slots=True)
class Scale:
    """What the score of this mode is.

    Attributes:
        name: for a heading, e.g. "mean grade".
        unit: behind a number, e.g. "of 10" or "%".
        lowest, highest: ends of an axis. Only relative scores may lie beyond the highest.
        even: the score of two equal models (50 for a win rate, 100 for a relative score); None for grades.
    """

    name: str
    unit: str
    lowest: float
    highest: float
    even: float | None


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of every judgment that a complete run has: nothing is left out of the denominator unsaid.

    Attributes:
        expected: judgments of a complete run: turns x opponents x orders x judges.
        answered: of those, whose answers all exist.
        judged: of those, with a verdict; only these are in a score.
        failed: the judge gave no reply (an API failure).
        unparsed: the judge replied, but its reply holds no verdict.
        unasked: answered, but the file has no judgment of it.
        duplicate: further judgments of the same thing, left out (see `eval.numbers.outcomes.without_duplicates`).
    """

    expected: int
    answered: int
    judged: int
    failed: int
    unparsed: int
    unasked: int
    duplicate: int

    @property
    def complete(self) -> bool:
        return self.judged == self.expected


@dataclass(frozen=True, slots=True)
class PartScore:
    """The score in one category or one turn (`name` is "1", "2", ...)."""

    name: str
    score: Estimate


@dataclass(frozen=True, slots=True)
class Bin:
    """How many outcomes have this score; for win rates the scores are 0, 0.5 and 1, or shares between."""

    score: float
    count: int


@dataclass(frozen=True, slots=True)
class LeaderboardRow:
    """One contestant on the leaderboard.

    Attributes:
        label: its name.
        rank: from 1, equal for equal scores; None while the run is incomplete (unless forced), and for the baseline.
        score: on the mode's `Scale`; None if nothing was judged. The baseline's is `Scale.even` by definition.
        length_controlled: win rate against the baseline, in percent, at equal answer length; only of pair modes whose
            verdicts are shares of the win, with a baseline.
        extrapolated: whether few answers are about as long as the baseline's, so that `length_controlled` says what was
            hardly seen.
        style_controlled: the `rating` at equal style: of models whose answers are as long and have as many headers,
            list items and bold words as the others'. None where that can't be told, or the answers aren't there.
        rating: Bradley-Terry rating on the Elo scale, all contestants' mean 1000; pair modes only.
        wins, ties, losses: outcomes (both orders taken together); pair modes only, else 0.
        sums: of a ratio of sums (`vicuna`), else empty: sum of this model's scores and of the baseline's beside them.
        counts: the denominator.
        categories, turns: the score in parts, in the order of the question file.
        distribution: of the scores, lowest first.
        words, characters: mean length of an answer, in words (`camelid.text.words.count_words`: a Chinese
            character is one) and as AlpacaEval counts it; None where no answer of it is there.
        cut: answers that ran into the token limit.
        flagged: answers that speak to the judge.
        measures: further figures of programs, in percent: pass@k, exact match and edit similarity of infilled text.
    """

    label: str
    rank: int | None
    score: Estimate | None
    length_controlled: Estimate | None
    rating: Estimate | None
    wins: int
    ties: int
    losses: int
    sums: tuple[float, ...]
    counts: Counts
    categories: tuple[PartScore, ...]
    turns: tuple[PartScore, ...]
    distribution: tuple[Bin, ...]
    words: float | None
    characters: float | None
    cut: int
    flagged: int
    extrapolated: bool = False
    style_controlled: Estimate | None = None
    measures: tuple[PartScore, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """Two contestants compared question by question.

    Attributes:
        first, second: the higher score first.
        gap: mean of first - second over the questions both were judged on, on the mode's scale.
        p: two-sided p-value of the paired test; None with fewer than two questions.
        p_adjusted: the same after Holm's correction for all differences on this board.
        settled: whether p_adjusted < 0.05.
        needed: questions at which a gap of `planned` would be found 80% of the time, to two digits; None if unknown.
        detectable: the smallest gap found 80% of the time with as many questions as there are.
        planned: a gap that would matter, chosen before anything was judged: a twentieth of the scale.
    """

    first: str
    second: str
    gap: Estimate
    p: float | None
    p_adjusted: float | None
    settled: bool
    needed: int | None
    detectable: float | None
    planned: float = 0.0


@dataclass(frozen=True, slots=True)
class WinMatrixCell:
    """One cell of the win matrix: `first` against `second`; every pair is there in both directions.

    Attributes:
        win_rate: of first, in percent, a tie half; `single` mode compares the grades of the same question.
        wins, ties, losses: of first, counted in outcomes.
        contradictions: ties that are ties only because the judge changed its mind with the order.
    """

    first: str
    second: str
    win_rate: Estimate
    wins: int
    ties: int
    losses: int
    contradictions: int


@dataclass(frozen=True, slots=True)
class StyleEffect:
    """What one trait of style does to a judge.

    Attributes:
        name: of the trait, e.g. "length".
        points: of rating that an answer gains which has all of it against one which has none; (first - second) /
            (first + second) of it is what counts.
    """

    name: str
    points: Estimate


@dataclass(frozen=True, slots=True)
class Board:
    """The scores by one judge, or by all together.

    Attributes:
        judge: its name; "all judges" for the mean of several.
        complete: no judgment is missing.
        rows: best score first; the constant-answer canary is not among them.
        differences: one's own model and each other, or every pair; best first.
        meetings: the win matrix.
        connected: whether Bradley-Terry can rate all models on one scale; False leaves ratings None.
        counts: the denominator of the whole board (a pair that is in two rows' counts is one here).
        style: what style does to this judge; empty where that can't be told.
    """

    judge: str
    complete: bool
    rows: tuple[LeaderboardRow, ...]
    differences: tuple[Difference, ...]
    meetings: tuple[WinMatrixCell, ...]
    connected: bool
    counts: Counts
    style: tuple[StyleEffect, ...] = ()


@dataclass(frozen=True, slots=True)
class Bias:
    """One measured bias of a judge.

    Attributes:
        size: in `unit`; 0 is none. None if it can't be measured.
        p: two-sided p-value of "no bias".
        detected: p < 0.01. Three biases are looked for, so that the chance of any false alarm stays below 5%. None if
            it can't be measured.
        unit: e.g. "points of win rate for the answer shown first".
        note: what was compared, or why there is no number.
    """

    size: Estimate | None
    p: float | None
    detected: bool | None
    unit: str
    note: str


@dataclass(frozen=True, slots=True)
class RepeatAgreement:
    """The same request asked again.

    Attributes:
        asked: judgments asked twice, with both verdicts known.
        same: of those, with the same verdict.
        mean_change: mean absolute change of the score (of the first model shown).
    """

    asked: int
    same: int
    mean_change: float


@dataclass(frozen=True, slots=True)
class Canary:
    """How the judge scores one constant text given as the answer to every question.

    Attributes:
        text: that text.
        score: its score on the mode's scale (of the pair modes: its win rate in percent).
        counts: its denominator.
        gamed: whether its interval lies wholly above what a text without content deserves
            (`canary_limit` of the mode); None if the judge's verdicts on it can't say.
    """

    text: str
    score: Estimate | None
    counts: Counts
    gamed: bool | None


@dataclass(frozen=True, slots=True)
class JudgeAudit:
    """How far one judge can be trusted.

    Attributes:
        judge: its name.
        position: of the answer shown first; pair modes.
        length: of the longer answer.
        self_preference: for its own model's answers, against the other judges.
        contradictions, both_orders: pairs whose verdict changed with the order, of the pairs judged in both.
        repeats: None if nothing was asked twice.
        canary: None if there was none.
    """

    judge: str
    position: Bias
    length: Bias
    self_preference: Bias
    contradictions: int
    both_orders: int
    repeats: RepeatAgreement | None
    canary: Canary | None


@dataclass(frozen=True, slots=True)
class Flag:
    """An answer that speaks to the judge; read it yourself.

    Attributes:
        reason: e.g. "contains a verdict", "gives the judge instructions".
        excerpt: the words that say so.
    """

    model: str
    question: str
    turn: int
    reason: str
    excerpt: str


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two judges on the same outcomes. A statistic is None where it isn't defined (no variation).

    Attributes:
        count: outcomes that both judged.
        same: share with the same verdict, 0..1 (the same winner, or the same whole grade).
        kappa: Cohen's kappa.
        weighted_kappa: the same, quadratically weighted.
        tau: Kendall's tau-b of the scores.
        pearson: correlation of the scores.
        ranking_tau: Kendall's tau-b of the models' scores.
    """

    first: str
    second: str
    count: int
    same: float
    kappa: float | None
    weighted_kappa: float | None
    tau: float | None
    pearson: float | None
    ranking_tau: float | None


@dataclass(frozen=True, slots=True)
class Cost:
    """What a judge's judgments took.

    Attributes:
        requests: replies with known usage.
        prompt_tokens, completion_tokens: billed.
        dollars: paid by all runs of this judge; None if the price isn't known.
        answered_by: the model names the provider reported, which should be one.
        earlier_tokens: billed by all runs of this judge for what is in none of these judgments: other answers, prompts
            or questions of before.
    """

    judge: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    dollars: float | None
    answered_by: tuple[str, ...]
    earlier_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Results:
    """All numbers of a report.

    Attributes:
        title: of the page.
        mode: how it was judged: a name of `eval.judging.modes.table.MODES`.
        scale: what a score is.
        baseline: the model the others are compared with; None in `single` and in `pairwise` of all pairs.
        judges: their names.
        models: labels in the order of the answers, the canary not among them.
        questions, turns: how many in the set.
        categories: in the order of the question file.
        complete: no judgment is missing on any board.
        forced: ranked although incomplete.
        boards: all judges together first; if there are several, then one for each judge.
        audits: one for each judge.
        flags: answers that speak to the judge.
        agreements: every pair of judges.
        alpha: Krippendorff's alpha of all judges (interval scale); None for one judge.
        costs: one for each judge.
        notes: what a reader must know, in sentences: incomplete, duplicates, offline judge, ...
        single_model: whether `length_controlled` rests on each model's own judgments alone, without difficulties.
        own: the model whose differences from the others are tested; None where every pair is.
    """

    title: str
    mode: str
    scale: Scale
    baseline: str | None
    judges: tuple[str, ...]
    models: tuple[str, ...]
    questions: int
    turns: int
    categories: tuple[str, ...]
    complete: bool
    forced: bool
    boards: tuple[Board, ...]
    audits: tuple[JudgeAudit, ...]
    flags: tuple[Flag, ...]
    agreements: tuple[Agreement, ...]
    alpha: float | None
    costs: tuple[Cost, ...]
    notes: tuple[str, ...]
    single_model: bool = False
    own: str | None = None

    def to_json(self) -> dict[str, Any]:
        """What `results.json` holds: this class as nested objects and lists."""
        return to_tree(self)

    @staticmethod
    def from_json(value: object, place: str = "results.json") -> "Results":
        """The inverse of `to_json`.

        Raises:
            UserError: not what `to_json` wrote.
        """
        return from_tree(Results, value, place)
