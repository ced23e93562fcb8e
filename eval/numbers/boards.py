"""The scores by one judge, or by all together: leaderboard, differences, win matrix."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, replace
from itertools import combinations

from camelid.text.words import count_words
from eval.ask.answer import Answer
from eval.ask.questions import Question
from eval.judging.judgment import Judgment
from eval.judging.modes.mode import Mode
from eval.numbers.audit import duels
from eval.numbers.bradley_terry import fit_ratings
from eval.numbers.length_control import FEW_NEAR, Comparison, Difficulties, length_controlled
from eval.numbers.outcomes import NeededOrders, Outcome, pair_order, winner
from eval.numbers.pass_at_k import measure_programs
from eval.numbers.stats import (
    ScoresByQuestion,
    detectable_gap,
    equally_weighted,
    holm,
    paired_difference,
    planned_questions,
    ratio_estimate,
    score_estimate,
)
from eval.numbers.style import Style, rate_at_equal_style, style_of
from eval.results import (
    Bin,
    Board,
    Counts,
    Difference,
    Estimate,
    Flag,
    LeaderboardRow,
    PartScore,
    StyleEffect,
    WinMatrixCell,
)

ALL_PAIRS = "all"
PLANNED_GAP = 0.05  # of the scale: the gap for which the questions needed are told, 5 points of a win rate


@dataclass(frozen=True)
class Comparing:
    """How models are compared, beyond their scores.

    Attributes:
        own: the model whose differences from all others are tested; None takes the first that is not the baseline.
            `ALL_PAIRS` tests every pair.
        difficulties: of the questions, for win rates at equal length; None makes single-model estimates.
    """

    own: str | None = None
    difficulties: Difficulties | None = None


@dataclass(frozen=True)
class JudgedRun:
    """What was to be judged; the arguments of `summarise`, and what follows from them."""

    mode: Mode
    questions: tuple[Question, ...]
    answers: tuple[Answer, ...]
    models: tuple[str, ...]
    baseline: str | None
    orders: NeededOrders
    forced: bool
    comparing: Comparing
    flags: tuple[Flag, ...]

    def opponents(self, model: str) -> tuple[str | None, ...]:
        """Whom a model meets; None stands for nobody, where answers are graded one by one."""
        if not self.mode.paired:
            return (None,)
        if self.baseline is not None:
            return () if model == self.baseline else (self.baseline,)
        return tuple(other for other in self.models if other != model)


@dataclass(frozen=True)
class ExpectedJudgments:
    """The judgments that a board rests on, without the canary's."""

    judges: tuple[str, ...]
    judgments: Sequence[Judgment]
    duplicates: Sequence[Judgment]


def make_board(run: JudgedRun, name: str, outcomes: Sequence[Outcome], expected: ExpectedJudgments) -> Board:
    """All numbers of one board."""
    scores = {model: model_scores(run.mode, outcomes, model, run.baseline) for model in run.models}
    denominators = _denominators(run, expected)
    complete = all(one.complete for one in denominators.values())
    rated = fit_ratings(run.models, outcomes) if run.mode.paired else None
    alike = rate_at_equal_style(run.models, outcomes, _styles(run)) if run.mode.paired else None
    comparisons = _comparisons(run, outcomes)
    controlled = length_controlled(comparisons, run.comparing.difficulties)
    near = {model: [row.near for row in comparisons if row.model == model] for model in controlled}
    rows = [
        replace(
            _row(run, model, outcomes, scores[model], denominators[model]),
            rating=rated.models[model] if rated else None,
            style_controlled=alike[0].models[model] if alike else None,
            length_controlled=controlled.get(model),
            extrapolated=model in near and sum(near[model]) < FEW_NEAR * len(near[model]),
        )
        for model in run.models
    ]
    met = _pair_of_each_question(run, expected)
    rows.sort(key=lambda row: -_standing(row, by_rating=bool(met)))
    if complete or run.forced:
        rows = _with_ranks(rows, run.baseline, by_rating=bool(met))
    differences = _differences(run, [row.label for row in rows if row.score], scores)
    meetings = tuple(_meetings(outcomes))
    connected = not run.mode.paired or rated is not None
    total = _total(denominators.values(), shared=run.mode.paired and run.baseline is None)
    style = tuple(map(StyleEffect, alike[1], alike[0].effects)) if alike else ()
    return Board(name, complete, tuple(rows), tuple(differences), meetings, connected, total, style)


def model_scores(mode: Mode, outcomes: Sequence[Outcome], model: str, baseline: str | None) -> ScoresByQuestion:
    """A model's scores on the mode's scale, by question."""
    found: dict[str, list[tuple[float, float]]] = {}
    if model == baseline and mode.paired:
        return found
    for item in outcomes:
        if item.scores and model in item.models:
            value = mode.value(item.scores, item.models.index(model))
            found.setdefault(item.question, []).append(value)
    return found


def mode_estimate(mode: Mode, scores: ScoresByQuestion) -> Estimate | None:
    """A score with the interval that fits what it is: a mean between bounds, or a ratio of sums."""
    if mode.sums and mode.scale.even is not None:
        return ratio_estimate(scores, mode.bounds, mode.scale.even)
    return score_estimate(scores, mode.bounds)


def make_counts(expected: int, answered: int, states: Iterable[str], duplicate: int) -> Counts:
    """The denominator from the states of the judgments that are there."""
    seen = list(states)
    judged, failed, unparsed = (seen.count(state) for state in ("judged", "failed", "unparsed"))
    return Counts(expected, answered, judged, failed, unparsed, answered - len(seen), duplicate)


def _total(parts: Iterable[Counts], shared: bool) -> Counts:
    """The sum over models; where every judgment is two models' (`shared`), half of it."""
    sums = [sum(column) // (2 if shared else 1) for column in zip(*(astuple(part) for part in parts), strict=True)]
    return Counts(*sums)


def _denominators(run: JudgedRun, expected: ExpectedJudgments) -> dict[str, Counts]:
    there = {
        (item.judge, item.question, item.turn, item.models): item for item in expected.judgments if not item.repeat
    }
    said = {(answer.model, answer.question): len(answer.turns) for answer in run.answers}
    put_to = _pair_of_each_question(run, expected)
    made = {}
    for model in run.models:
        total, answered = 0, 0
        states: list[str] = []
        for opponent in run.opponents(model):
            models = (model,) if opponent is None else pair_order((model, opponent), run.baseline)
            shown = (models, models[::-1]) if opponent is not None else (models,)
            orders = {judge: run.orders.of(judge, models) for judge in expected.judges}
            for question in run.questions:
                if put_to.get(question.id, models) != models:
                    continue
                turns = min(said.get((label, question.id), 0) for label in models)
                for turn in range(1, len(question.turns) + 1):
                    for judge in expected.judges:
                        found = [there[key] for order in shown if (key := (judge, question.id, turn, order)) in there]
                        needed = max(len(found), orders[judge])
                        total += needed
                        answered += needed if turn <= turns else len(found)
                        states += [item.state for item in found]
        again = sum(model in item.models for item in expected.duplicates) if run.opponents(model) else 0
        made[model] = make_counts(total, answered, states, again)
    return made


def _row(
    run: JudgedRun, model: str, outcomes: Sequence[Outcome], scores: ScoresByQuestion, denominator: Counts
) -> LeaderboardRow:
    own = [answer for answer in run.answers if answer.model == model]
    texts = [text for answer in own for text in answer.turns]
    mine = [item for item in outcomes if item.scores and model in item.models]
    results = [
        winner(item.scores) * (1 if item.models[0] == model else -1) for item in mine if item.scores and run.mode.paired
    ]
    shares = [item.scores[item.models.index(model)] for item in mine if item.scores]
    even = run.mode.scale.even
    by_definition = Estimate(even, even, even, 0.0, 0, 0) if model == run.baseline and even is not None else None
    return LeaderboardRow(
        label=model,
        rank=None,
        score=by_definition or mode_estimate(run.mode, scores),
        length_controlled=None,
        rating=None,
        wins=results.count(1),
        ties=results.count(0),
        losses=results.count(-1),
        sums=_sums(model, mine) if run.mode.sums and model != run.baseline else (),
        counts=denominator,
        categories=tuple(_categories(run, scores)),
        turns=tuple(_turns(run, mine, model)),
        distribution=tuple(_bins(shares)),
        words=sum(count_words(text) for text in texts) / len(texts) if texts else None,
        characters=sum(len(text) for text in texts) / len(texts) if texts else None,
        cut=sum(sum(answer.cut) for answer in own),
        flagged=sum(flag.model == model for flag in run.flags),
        measures=tuple(measure_programs(run.questions, mine, own)) if run.mode.executed else (),
    )


def _sums(model: str, mine: Sequence[Outcome]) -> tuple[float, float]:
    pairs = [(item.scores, item.models.index(model)) for item in mine if item.scores]
    return sum(scores[place] for scores, place in pairs), sum(scores[1 - place] for scores, place in pairs)


def _categories(run: JudgedRun, scores: ScoresByQuestion) -> Iterable[PartScore]:
    for category in dict.fromkeys(question.category for question in run.questions):
        ids = {question.id for question in run.questions if question.category == category}
        value = mode_estimate(run.mode, {name: values for name, values in scores.items() if name in ids})
        if value:
            yield PartScore(category, value)


def _turns(run: JudgedRun, mine: Sequence[Outcome], model: str) -> Iterable[PartScore]:
    turns = 0 if run.mode.executed else max(len(question.turns) for question in run.questions)  # samples are no turns
    for turn in range(1, turns + 1):
        part = [item for item in mine if item.turn == turn]
        value = mode_estimate(run.mode, model_scores(run.mode, part, model, run.baseline))
        if value:
            yield PartScore(str(turn), value)


def _bins(scores: Sequence[float]) -> Iterable[Bin]:
    """Grades to the half point, shares of a win to the tenth."""
    grades = max(scores, default=0.0) > 1
    rounded = Counter(round(score * 2) / 2 if grades else round(score, 1) for score in scores)
    for value in sorted(rounded):
        yield Bin(value, rounded[value])


def _with_ranks(rows: Sequence[LeaderboardRow], baseline: str | None, by_rating: bool) -> list[LeaderboardRow]:
    standings = [_standing(row, by_rating) for row in rows if row.score and row.label != baseline]
    return [
        replace(row, rank=1 + sum(standing > _standing(row, by_rating) for standing in standings))
        if row.score and row.label != baseline
        else row
        for row in rows
    ]


def _standing(row: LeaderboardRow, by_rating: bool) -> float:
    """What models are ranked by: their score, or, where they met different opponents, their rating."""
    value = row.rating if by_rating and row.rating else row.score
    return value.mean if value else float("-inf")


def _pair_of_each_question(run: JudgedRun, expected: ExpectedJudgments) -> dict[str, tuple[str, ...]]:
    """The pair that each question was put to, where all were put to one pair only, as votes are; else nothing."""
    if not run.mode.paired or run.baseline is not None or len(run.models) < 3:
        return {}
    pairs: dict[str, set[tuple[str, ...]]] = {}
    for item in expected.judgments:
        pairs.setdefault(item.question, set()).add(pair_order(item.models, None))
    if any(len(found) > 1 for found in pairs.values()):
        return {}
    return {question: found.pop() for question, found in pairs.items()}


def _differences(run: JudgedRun, labels: Sequence[str], scores: dict[str, ScoresByQuestion]) -> Iterable[Difference]:
    """One's own model and each other, or every pair; the baseline's score is a definition, so it isn't among them."""
    rivals = [label for label in labels if label != run.baseline or not run.mode.paired]
    own = run.comparing.own
    pairs = [pair for pair in combinations(rivals, 2) if own == ALL_PAIRS or own in pair]
    found = [(one, two, paired_difference(scores[one], scores[two], run.mode.bounds)) for one, two in pairs]
    known = [(one, two, value) for one, two, value in found if value]
    adjusted = holm([p for _, _, (_, p) in known])
    planned = PLANNED_GAP * (run.mode.scale.highest - run.mode.scale.lowest)
    for (one, two, (gap, p)), p_adjusted in zip(known, adjusted, strict=True):
        settled = p_adjusted is not None and p_adjusted < 0.05
        needed = planned_questions(planned, gap.error, gap.questions)
        yield Difference(one, two, gap, p, p_adjusted, settled, needed, detectable_gap(gap.error), planned)


def _meetings(outcomes: Sequence[Outcome]) -> Iterable[WinMatrixCell]:
    results: dict[tuple[str, str], dict[str, list[float]]] = {}
    changed: dict[tuple[str, str], int] = {}
    for item in outcomes:
        if item.contradiction and item.scores:
            pair = (item.models[0], item.models[1])
            changed[pair] = changed.get(pair, 0) + 1
    for models, question, _, result in duels(outcomes):
        results.setdefault(models, {}).setdefault(question, []).append(50 + 50 * result)
    for (one, two), shares in results.items():
        rate = score_estimate(equally_weighted(shares), (0.0, 100.0))
        assert rate is not None
        flat = [share for found in shares.values() for share in found]
        wins, ties = sum(share > 50 for share in flat), sum(share == 50 for share in flat)
        losses, contradictions = len(flat) - wins - ties, changed.get((one, two), 0)
        yield WinMatrixCell(one, two, rate, wins, ties, losses, contradictions)
        yield WinMatrixCell(two, one, _reverse_rate(rate), losses, ties, wins, contradictions)


def _reverse_rate(rate: Estimate) -> Estimate:
    """The other side's win rate."""
    low = None if rate.high is None else 100 - rate.high
    high = None if rate.low is None else 100 - rate.low
    return Estimate(100 - rate.mean, low, high, rate.error, rate.count, rate.questions)


def _styles(run: JudgedRun) -> dict[tuple[str, str, int], Style]:
    return {
        (answer.model, answer.question, turn): style_of(text)
        for answer in run.answers
        for turn, text in enumerate(answer.turns, start=1)
    }


def _comparisons(run: JudgedRun, outcomes: Sequence[Outcome]) -> list[Comparison]:
    """What the win rates at equal length are made from: outcomes against the baseline, both lengths known."""
    if run.baseline is None or not run.mode.length_controlled:
        return []
    lengths = {
        (answer.model, answer.question, turn): len(text)
        for answer in run.answers
        for turn, text in enumerate(answer.turns, start=1)
    }
    comparisons = []
    for item in outcomes:
        if not item.scores or item.models[-1] != run.baseline:
            continue
        own, baseline = (lengths.get((model, item.question, item.turn)) for model in item.models)
        if own is not None and baseline is not None:
            comparisons.append(Comparison(item.models[0], item.question, item.turn, item.scores[0], own, baseline))
    return comparisons
