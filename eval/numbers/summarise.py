"""From questions, answers and judgments to all numbers of a report; nothing is left out uncounted."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from camelid.errors import UserError, suggest_name
from eval.ask.answer import Answer
from eval.ask.questions import Question
from eval.judging import canary
from eval.judging.judgment import Judgment
from eval.judging.modes.mode import Mode
from eval.judging.modes.table import MODES
from eval.judging.usable import repeated_means
from eval.judging.verdict import speaks_to_judge
from eval.numbers import audit
from eval.numbers.agreement import cohen_kappa, kendall_tau, krippendorff_alpha, pearson
from eval.numbers.boards import (
    ALL_PAIRS,
    Comparing,
    ExpectedJudgments,
    JudgedRun,
    make_board,
    make_counts,
    mode_estimate,
    model_scores,
)
from eval.numbers.length_control import FEW_NEAR, NEAR
from eval.numbers.outcomes import NeededOrders, Outcome, all_judges, outcomes, winner, without_duplicates
from eval.results import Agreement, Board, Canary, Cost, Flag, JudgeAudit, Results

ALL = "all judges"
OFFLINE_NOTE = (
    "The judge is Camelid's embedded rule: it grades the overlap of an answer's words with the reference answer "
    "(ROUGE-L). That is agreement with the reference, not quality as a person or GPT-4 would see it."
)


def summarise(
    title: str,
    questions: Sequence[Question],
    answers: Sequence[Answer],
    judgments: Sequence[Judgment],
    baseline: str | None = None,
    forced: bool = False,
    dollars: Mapping[str, float | None] | None = None,
    comparing: Comparing | None = None,
) -> Results:
    """Compute every number of the report.

    Args:
        title: of the page.
        questions: the whole set; a question without an answer counts as missing.
        answers: of all models.
        judgments: by any number of judges, all of one mode.
        baseline: the model the others are compared with; None takes it from the judgments.
        forced: rank an incomplete run too.
        dollars: paid for each judge; None if it isn't known.
        comparing: how models are compared; None takes the first for one's own, and no difficulties.

    Raises:
        UserError: there are no judgments, they are of several modes or of unknown questions, or no baseline is known.
    """
    mode = _mode(questions, judgments)
    kept, duplicates = without_duplicates(judgments)
    real = [item for item in kept if canary.LABEL not in item.models]
    models = tuple(dict.fromkeys([*(a.model for a in answers), *(m for item in real for m in item.models)]))
    baseline = _baseline(mode, models, real, baseline)
    comparing = _comparing(comparing or Comparing(), [label for label in models if label != baseline])
    judges = tuple(dict.fromkeys(item.judge for item in kept))
    flags = () if mode.executed else tuple(_flags(answers))
    orders = NeededOrders(real)
    run = JudgedRun(mode, tuple(questions), tuple(answers), models, baseline, orders, forced, comparing, flags)
    found = outcomes(real, baseline)
    boards = _boards(run, judges, found, real, duplicates)
    incomplete = not all(one.complete for one in boards)
    return Results(
        title=title,
        mode=mode.name,
        scale=mode.scale,
        baseline=baseline,
        judges=judges,
        models=models,
        questions=len(questions),
        turns=sum(len(question.turns) for question in questions),
        own=None if comparing.own == ALL_PAIRS else comparing.own,
        categories=tuple(dict.fromkeys(question.category for question in questions)),
        complete=not incomplete,
        forced=forced and incomplete,
        boards=tuple(boards),
        audits=tuple(_audit(run, judge, judges, found, kept, duplicates) for judge in judges),
        flags=flags,
        agreements=tuple(_agreements(judges, found, boards)),
        alpha=_alpha(judges, found) if len(judges) > 1 else None,
        costs=tuple(_cost(judge, judgments, (dollars or {}).get(judge)) for judge in judges),
        notes=(
            *_notes(mode, boards[0], real, judges, duplicates, len(flags), forced),
            *cut_notes(answers),
            *_length_notes(boards[0], comparing.difficulties is None),
        ),
        single_model=comparing.difficulties is None and any(row.length_controlled for row in boards[0].rows),
    )


def _mode(questions: Sequence[Question], judgments: Sequence[Judgment]) -> Mode:
    modes = sorted({item.mode for item in judgments})
    if len(modes) != 1:
        raise UserError(
            "there are no judgments" if not modes else f"judgments of several modes ({', '.join(modes)}); report one"
        )
    known = {question.id for question in questions}
    for item in judgments:
        if item.question not in known:
            raise UserError(f"{item.judge} judged question {item.question!r}, which is not in the question file")
    return MODES[modes[0]]


def _baseline(mode: Mode, models: Sequence[str], judgments: Sequence[Judgment], asked: str | None) -> str | None:
    if not mode.paired:
        return None
    baseline = asked or _named_baseline(judgments)
    if baseline is not None and baseline not in models:
        raise UserError(f"--baseline {baseline}: no such model{suggest_name(baseline, models)}")
    if baseline is None and mode.needs_baseline:
        raise UserError(
            f"--baseline: the judgments don't say which model is the baseline; name it ({', '.join(models)})"
        )
    return baseline


def _comparing(asked: Comparing, rivals: Sequence[str]) -> Comparing:
    if asked.own is None:
        return replace(asked, own=rivals[0] if rivals else None)
    if asked.own != ALL_PAIRS and asked.own not in rivals:
        raise UserError(f"--own {asked.own}: no such model beside the baseline{suggest_name(asked.own, rivals)}")
    return asked


def _named_baseline(judgments: Sequence[Judgment]) -> str | None:
    """The baseline that judgments name; of several, as where a row was turned round, the one that is in every pair.

    Where two models are all there is, that is both; then the one that is named more often.
    """
    named = Counter(item.baseline for item in judgments if item.baseline)
    if len(named) > 1:
        everywhere = set.intersection(*(set(item.models) for item in judgments))
        named = Counter({name: named[name] for name in everywhere})
    ranked = named.most_common(2)
    return ranked[0][0] if ranked and (len(ranked) == 1 or ranked[0][1] > ranked[1][1]) else None


def _boards(
    run: JudgedRun,
    judges: Sequence[str],
    found: Sequence[Outcome],
    judgments: Sequence[Judgment],
    duplicates: Sequence[Judgment],
) -> list[Board]:
    """All judges together first, if there are several; then each, those without any score last."""

    def scored(board: Board) -> bool:
        return any(row.score for row in board.rows if row.label != run.baseline)

    boards = [_board(run, judge, (judge,), found, judgments, duplicates) for judge in judges]
    boards.sort(key=lambda board: not scored(board))
    if len(judges) > 1:
        together = _board(run, ALL, judges, found, judgments, duplicates)
        boards = [together] * scored(together) + boards
    return boards


def _board(
    run: JudgedRun,
    name: str,
    judges: Sequence[str],
    found: Sequence[Outcome],
    judgments: Sequence[Judgment],
    duplicates: Sequence[Judgment],
) -> Board:
    theirs = [item for item in found if item.judge in judges]
    merged = all_judges(theirs, judges, name) if len(judges) > 1 else theirs
    unseen = _unseen(judges, judgments)
    run = replace(run, models=tuple(model for model in run.models if model not in unseen))
    own, further = ([item for item in group if item.judge in judges] for group in (judgments, duplicates))
    return make_board(run, name, merged, ExpectedJudgments(tuple(judges), own, further))


def _unseen(judges: Sequence[str], judgments: Sequence[Judgment]) -> dict[str, tuple[str, ...]]:
    """Models of which some of these judges judged nothing, though others did: they aren't on the board of these."""
    seen: dict[str, set[str]] = {}
    for item in judgments:
        for model in item.models:
            seen.setdefault(model, set()).add(item.judge)
    missing = {model: tuple(judge for judge in judges if judge not in by) for model, by in seen.items()}
    return {model: without for model, without in missing.items() if without}


def _audit(
    run: JudgedRun,
    judge: str,
    judges: Sequence[str],
    found: Sequence[Outcome],
    judgments: Sequence[Judgment],
    duplicates: Sequence[Judgment],
) -> JudgeAudit:
    own = [item for item in judgments if item.judge == judge]
    real = [item for item in own if canary.LABEL not in item.models]
    theirs = [item for item in found if item.judge == judge]
    lengths = {
        (answer.model, answer.question, turn): len(text)
        for answer in run.answers
        for turn, text in enumerate(answer.turns, start=1)
    }
    both = [item for item in theirs if len(item.judgments) == 2 and all(one.scores for one in item.judgments)]
    return JudgeAudit(
        judge=judge,
        position=audit.position_bias(real),
        length=audit.length_bias([] if run.mode.executed else theirs, lengths),
        self_preference=audit.self_preference_bias(judge, judges, run.models, found),
        contradictions=sum(item.contradiction for item in both),
        both_orders=len(both),
        repeats=audit.repeat_agreement(own),
        canary=_canary(run, judge, own, duplicates),
    )


def _canary(run: JudgedRun, judge: str, judgments: Sequence[Judgment], duplicates: Sequence[Judgment]) -> Canary | None:
    asked = [item for item in judgments if canary.LABEL in item.models and item.repeat == 0]
    if not asked:
        return None
    opponents = [model for item in asked for model in item.models if model != canary.LABEL]
    opponent = opponents[0] if opponents else None
    scores = model_scores(run.mode, outcomes(asked, opponent), canary.LABEL, opponent)
    score = mode_estimate(run.mode, scores)
    states = [item.state for item in asked]
    again = sum(item.judge == judge and canary.LABEL in item.models for item in duplicates)
    total = make_counts(len(asked), len(asked), states, again)
    return Canary(canary.judged_text(run.mode, asked[0]), score, total, audit.is_gamed(run.mode, score))


def _flags(answers: Sequence[Answer]) -> Iterable[Flag]:
    for answer in answers:
        for turn, text in enumerate(answer.turns, start=1):
            found = speaks_to_judge(text)
            if found:
                yield Flag(answer.model, answer.question, turn, *found)


def _agreements(judges: Sequence[str], found: Sequence[Outcome], boards: Sequence[Board]) -> Iterable[Agreement]:
    said = {judge: _first_scores(judge, found) for judge in judges}
    means = {one.judge: {row.label: row.score.mean for row in one.rows if row.score} for one in boards}
    for place, first in enumerate(judges):
        for second in judges[place + 1 :]:
            both = [key for key in said[first] if key in said[second]]
            if not both:
                continue
            ones, twos = [said[first][key] for key in both], [said[second][key] for key in both]
            verdicts, others = ([_verdict(score) for score in scores] for scores in (ones, twos))
            ranked = [label for label in means[first] if label in means[second]]
            yield Agreement(
                first=first,
                second=second,
                count=len(both),
                same=sum(one == two for one, two in zip(verdicts, others, strict=True)) / len(both),
                kappa=cohen_kappa(verdicts, others),
                weighted_kappa=cohen_kappa(verdicts, others, quadratic=True),
                tau=kendall_tau([score[0] for score in ones], [score[0] for score in twos]),
                pearson=pearson([score[0] for score in ones], [score[0] for score in twos]),
                ranking_tau=kendall_tau(
                    [means[first][label] for label in ranked], [means[second][label] for label in ranked]
                ),
            )


def _first_scores(judge: str, found: Sequence[Outcome]) -> dict[tuple[str, int, tuple[str, ...]], tuple[float, ...]]:
    return {
        (item.question, item.turn, item.models): item.scores for item in found if item.judge == judge and item.scores
    }


def _verdict(scores: Sequence[float]) -> float:
    """The category for kappa: the winner of a pair, or the whole grade."""
    return float(winner(scores)) if len(scores) == 2 else float(int(scores[0] + 0.5))


def _alpha(judges: Sequence[str], found: Sequence[Outcome]) -> float | None:
    said = [_first_scores(judge, found) for judge in judges]
    things = list(dict.fromkeys(key for scores in said for key in scores))
    table = [[scores[key][0] if key in scores else float("nan") for key in things] for scores in said]
    return krippendorff_alpha(table) if things else None


def _cost(judge: str, judgments: Sequence[Judgment], dollars: float | None) -> Cost:
    own = [item for item in judgments if item.judge == judge and any(item.tokens)]
    prompt, completion = (sum(item.tokens[place] for item in own) for place in (0, 1))
    names = tuple(dict.fromkeys(item.answered_by for item in own if item.answered_by))
    return Cost(judge, len(own), prompt, completion, dollars, names)


def _notes(
    mode: Mode,
    first: Board,
    judgments: Sequence[Judgment],
    judges: Sequence[str],
    duplicates: Sequence[Judgment],
    flags: int,
    forced: bool,
) -> Iterable[str]:
    if "offline" in judges:
        yield OFFLINE_NOTE
    whole = sum(item.text.strip() in mode.tokens and not item.logprobs and item.stored is None for item in judgments)
    if whole:
        yield f"{whole} of {len(judgments)} verdicts came without log-probabilities; each counts as a whole win."
    yield from _off_letters(mode, judgments)
    unseen = _unseen(judges, judgments)
    for without in dict.fromkeys(unseen.values()):
        models = [model for model, those in unseen.items() if those == without]
        yield f"{', '.join(without)} judged nothing of {', '.join(models)}: not on the board."
    if len(judges) > 1 and first.judge != ALL:
        yield "No answer was judged by all judges, so there is no board of all together."
    if not first.complete:
        missing = first.counts.expected - first.counts.judged
        asked = "they are ranked all the same, as was asked"
        ranked = asked if forced else "so the models are not ranked (--force ranks them all the same)"
        yield f"Incomplete: {missing} of {first.counts.expected} judgments are missing, {ranked}."
    if duplicates:
        yield (
            f"{len(duplicates)} duplicate judgments were left out: of several of the same thing, the latest with a "
            "verdict counts, or the first where no times are known."
        )
        yield from repeated_means(judgments, duplicates, "those left out")
    if flags:
        yield f"Answers that speak to the judge (a verdict in them, or instructions): {flags}. Read them yourself."


def _off_letters(mode: Mode, judgments: Sequence[Judgment]) -> Iterable[str]:
    """How much probability a judge gave to neither of the letters that were asked for; it is no part of a share."""
    masses = [1 - sum(math.exp(value) for value in item.logprobs.values()) for item in judgments if item.logprobs]
    if masses:
        letters, away = " and ".join(mode.tokens), [max(0.0, mass) for mass in masses]
        yield (
            f"Probability on other tokens than {letters}: {100 * sum(away) / len(away):.1f}% on average, "
            f"{100 * max(away):.1f}% at most; shares are of the rest."
        )


def cut_notes(answers: Sequence[Answer]) -> Iterable[str]:
    """Who ran into the token limit: their scores are of beginnings."""
    by_model: dict[str, list[bool]] = {}
    for answer in answers:
        by_model.setdefault(answer.model, []).extend(answer.cut)
    cut = sorted((turns for turns in by_model.items() if any(turns[1])), key=lambda item: -sum(item[1]))
    if cut:
        told = [f"{model}: {sum(turns)} of {len(turns)}" for model, turns in cut[:3]]
        told += [f"fewer of {len(cut) - 3} more models"] * (len(cut) > 3)
        yield f"Answers that were cut off at the token limit ({'; '.join(told)}). Ask again with a higher --max-tokens."


def _length_notes(board: Board, single_model: bool) -> Iterable[str]:
    rows = [row for row in board.rows if row.length_controlled]
    far = [row.label for row in rows if row.extrapolated]
    if rows and single_model:
        yield (
            "The win rate at equal length is a single-model estimate: it rests on each model's own judgments, without "
            "the difficulties of the questions, which camelid eval difficulties fits to annotations of many models."
        )
    if far:
        yield (
            f"Fewer than {FEW_NEAR:.0%} of the answers are within {NEAR:.0%} of the baseline's length: the win rate at "
            f"equal length is an extrapolation for {', '.join(far)}."
        )
