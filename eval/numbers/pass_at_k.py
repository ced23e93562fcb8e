"""What programs come to beyond the share that passes: pass@k, and how near infilled text is to the reference."""

import math
from collections.abc import Iterable, Mapping, Sequence

from rapidfuzz.fuzz import ratio

from eval.ask.answer import Answer
from eval.ask.questions import Question
from eval.numbers.outcomes import Outcome
from eval.numbers.stats import equally_weighted, score_estimate
from eval.results import PartScore

KS = (5, 10, 100)  # pass@1 is the score itself
_PERCENT = (0.0, 100.0)


def pass_at_k(samples: int, passed: int, k: int) -> float:
    """The chance that at least one of k samples passes: 1 - C(n-c, k) / C(n, k) (Chen et al. 2021, equation 1).

    Args:
        samples, passed: n and c.
        k: at most n.
    """
    if not 0 < k <= samples or not 0 <= passed <= samples:
        raise ValueError(f"pass@{k} of {samples} samples, {passed} of them right, is not defined")
    return 1 - math.comb(samples - passed, k) / math.comb(samples, k)


def measure_programs(
    questions: Sequence[Question], found: Sequence[Outcome], answers: Sequence[Answer]
) -> Iterable[PartScore]:
    """One model's further figures, in percent; intervals are by problem.

    pass@k is there for the k of `KS` of which every problem has as many judged samples.

    Args:
        questions: all of them, with their tasks.
        found: of the model.
        answers: the model's.
    """
    tried: dict[str, list[float]] = {question.id: [] for question in questions}
    for item in found:
        if item.scores:
            tried[item.question].append(item.scores[0])
    for k in KS:
        if all(len(scores) >= k for scores in tried.values()):
            shares = {name: [100 * pass_at_k(len(one), round(sum(one)), k)] for name, one in tried.items()}
            yield from _part(f"pass@{k}", shares)
    if all(question.task and question.task.infill and question.task.reference for question in questions):
        pairs = {
            question.id: [
                (question.task.code(text), question.task.reference)
                for answer in answers
                if answer.question == question.id
                for text in answer.turns
            ]
            for question in questions
            if question.task
        }
        yield from _part(
            "exact match",
            {name: [100.0 * (one.strip() == two.strip()) for one, two in pair] for name, pair in pairs.items()},
        )
        # CodeXGLUE's and RepoBench's edit similarity: 2 x matches over the length of both.
        yield from _part(
            "edit similarity", {name: [ratio(one, two) for one, two in pair] for name, pair in pairs.items()}
        )


def _part(name: str, values: Mapping[str, Sequence[float]]) -> Iterable[PartScore]:
    estimate = score_estimate(equally_weighted({key: some for key, some in values.items() if some}), _PERCENT)
    if estimate:
        yield PartScore(name, estimate)
