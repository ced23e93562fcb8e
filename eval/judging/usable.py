"""What counts of the answers and judgments that are there: everything that doesn't is said in a note.

Each function takes what there is and returns what is left, with sentences for the reader on what was left out and why.
Judging and reporting use the same ones, so that they count alike.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from eval.ask.answer import Answer
from eval.ask.questions import Question, question_key
from eval.judging import canary
from eval.judging.judgment import Judgment
from eval.judging.modes.table import MODES

SHOWN = 3  # examples in a note
LONG = 40  # characters of an answer that no prompt holds by chance

Notes = list[str]


def asked_answers(questions: Sequence[Question], answers: Sequence[Answer]) -> tuple[list[Answer], Notes]:
    """The answers to the questions at hand; of several to one question the last that did not fail, as in FastChat."""
    known = {question.id for question in questions}
    kept: dict[tuple[str, str], Answer] = {}
    unasked, further = list[str](), list[str]()
    for answer in answers:
        key = (answer.model, answer.question)
        if answer.question not in known:
            unasked.append(_of(answer))
            continue
        if key in kept:
            further.append(_of(answer))
        if key not in kept or not answer.failure or kept[key].failure:
            kept[key] = answer
    notes = Notes()
    if further:
        notes.append(
            f"{_count(further, 'further answer')} to the same question: the last one counts ({_few(further)})."
        )
    if unasked:
        notes.append(f"{_count(unasked, 'answer')} to questions that are not asked here: left out ({_few(unasked)}).")
    return list(kept.values()), notes


def without_self_pairs(judgments: Sequence[Judgment]) -> tuple[list[Judgment], Notes]:
    """Judgments without those that compare a model with itself, which say nothing of it."""
    kept = [item for item in judgments if len(set(item.models)) == len(item.models)]
    alone = Counter(item.models[0] for item in judgments if len(set(item.models)) < len(item.models))
    return kept, [
        f"{model} compared with itself: {_count(count, 'judgment')} left out." for model, count in alone.items()
    ]


def present_judgments(judgments: Sequence[Judgment], answers: Sequence[Answer]) -> tuple[list[Judgment], Notes]:
    """The judgments of the answers at hand, where a file says which answers were judged."""
    said = {(answer.model, answer.question): answer.turns for answer in answers}
    kept, stale = list[Judgment](), list[Judgment]()
    for item in judgments:
        (kept if _is_present(item, said) else stale).append(item)
    if not stale:
        return kept, []
    fresh = {repeat_key(item) for item in kept}
    lost = [item for item in stale if repeat_key(item) not in fresh]
    note = f"{_count(stale, 'judgment')} of other answers than those here: left out."
    return kept, [
        note + (f" The present answers of {len(lost)} of them have no judgment." if lost else ""),
        *repeated_means(kept, stale, "those of other answers"),
    ]


def with_baseline(
    judgments: Sequence[Judgment], answers: Sequence[Answer], baseline: str | None
) -> tuple[list[Judgment], list[Answer], Notes]:
    """The pairs that the baseline is in, and the models that are in one, or that nobody judged yet."""
    if baseline is None or not any(baseline in item.models for item in judgments):
        return list(judgments), list(answers), []
    kept = [item for item in judgments if baseline in item.models or canary.LABEL in item.models]
    others = {model for item in judgments for model in item.models} - {model for item in kept for model in item.models}
    if len(kept) == len(judgments):
        return kept, list(answers), []
    left = len(judgments) - len(kept)
    note = f"{_count(left, 'judgment')} of pairs without {baseline}: left out"
    named = f", and with them {', '.join(sorted(others))}" if others else ""
    return kept, [answer for answer in answers if answer.model not in others], [f"{note}{named}."]


def judged_answers(judgments: Iterable[Judgment], answers: Sequence[Answer]) -> list[Answer]:
    """The answers that judgments carry, of which there is no file; of several to one question the latest judged."""
    there = {(answer.model, answer.question) for answer in answers}
    found = defaultdict[tuple[str, str], dict[int, tuple[float, str]]](dict)
    for item in judgments:
        for model, text in zip(item.models, item.answers, strict=False):
            turns = found[model, item.question]
            if (model, item.question) not in there and item.time >= turns.get(item.turn, (0.0, ""))[0]:
                turns[item.turn] = (item.time, text)
    return [
        Answer(question, model, tuple(turns[turn][1] for turn in sorted(turns)), (False,) * len(turns))
        for (model, question), turns in found.items()
        if turns and sorted(turns) == list(range(1, len(turns) + 1))
    ]


def reread_differently(judgments: Sequence[Judgment]) -> Notes:
    """Which stored scores are not what the reply says; what was read from the reply counts."""
    wrong = [
        f"question {item.question}, {' and '.join(item.models)}: {_scores(item.scores)}, stored {_scores(item.stored)}"
        for item in judgments
        if item.stored is not None and item.text and not _same(item.scores, item.stored)
    ]
    if not wrong:
        return []
    verb = "is" if len(wrong) == 1 else "are"
    return [
        f"{_count(wrong, 'stored score')} {verb} not what the judge's reply says, which counts ({_few(wrong, '; ')})."
    ]


def repeat_key(item: Judgment) -> tuple[object, ...]:
    """Equal for judgments of the same thing in the same order of showing."""
    return item.judge, item.mode, item.question, item.turn, item.models, item.repeat


def repeated_means(kept: Sequence[Judgment], left: Sequence[Judgment], called: str) -> Notes:
    """Where a judgment that counts and one that was left out both have a verdict, what each kind comes to."""
    counted = {repeat_key(item): item for item in kept}
    pairs = [(counted[repeat_key(item)], item) for item in left if repeat_key(item) in counted and item.scores]
    values = defaultdict[str, list[tuple[float, float]]](list)
    for one, other in pairs:
        if one.scores and other.scores and one.repeat == 0:
            values[one.models[0]].append((_value(one), _value(other)))
    if not values:
        return []
    named = [
        f"{model} {sum(one for one, _ in found) / len(found):.2f} and {sum(two for _, two in found) / len(found):.2f}"
        for model, found in values.items()
    ]
    scale = MODES[pairs[0][0].mode].scale
    return [f"Mean ({scale.name}) of those that count and of {called}, where both have a verdict: {_few(named, '; ')}."]


def _is_present(item: Judgment, said: dict[tuple[str, str], tuple[str, ...]]) -> bool:
    for model, text in zip(item.models, item.answers, strict=False):
        turns = said.get((model, item.question))
        there = text if turns is None or len(turns) < item.turn else turns[item.turn - 1]
        if there != text and question_key(there) != question_key(text) and not _is_shown(there, item):
            return False
    return True


def _is_shown(answer: str, item: Judgment) -> bool:
    """Whether a prompt holds an answer word for word; a short one may stand in it by chance."""
    key = question_key(answer)
    return len(key) >= LONG and key in question_key(" ".join(item.prompt))


def _value(item: Judgment) -> float:
    assert item.scores is not None
    value, weight = MODES[item.mode].value(item.scores, 0)
    return value / weight if weight else 0.0


def _same(one: tuple[float, ...] | None, two: tuple[float, ...]) -> bool:
    return one is not None and all(abs(first - second) < 1e-9 for first, second in zip(one, two, strict=True))


def _scores(scores: tuple[float, ...] | None) -> str:
    return "no verdict" if scores is None else " and ".join(f"{score:g}" for score in scores)


def _of(answer: Answer) -> str:
    return f"{answer.model}, question {answer.question}"


def _count(things: Sequence[object] | int, name: str) -> str:
    number = things if isinstance(things, int) else len(things)
    return f"{number:,} {name}{'' if number == 1 else 's'}"


def _few(names: Sequence[str], between: str = ", ") -> str:
    more = f"{between}and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return between.join(names[:SHOWN]) + more
