"""From answers and judgments to the numbers of a report; nothing is left out uncounted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from eval.answer import Answer
from eval.judge import Judgment
from eval.questions import Question
from eval.stats import Estimate, difference, estimate
from eval.verdict import speaks_to_judge


@dataclass(frozen=True)
class ModelResult:
    """One contestant's numbers.

    Attributes:
        label: its name.
        score: mean grade with interval; None if nothing was graded.
        categories: the same by category.
        graded: turns with a grade.
        ungraded: turns whose judgment failed or holds no grade; in no mean.
        missing: turns without an answer; in no mean.
        cut: answers that ran into the token limit.
        flagged: answers that speak to the judge.
        words: mean length of an answer.
    """

    label: str
    score: Estimate | None
    categories: dict[str, Estimate]
    graded: int
    ungraded: int
    missing: int
    cut: int
    flagged: int
    words: float


@dataclass(frozen=True)
class Results:
    """All numbers of a report.

    Attributes:
        judge: its name.
        models: best mean first.
        differences: (first, second, mean of first - second) for each pair, paired by question.
    """

    judge: str
    models: list[ModelResult]
    differences: list[tuple[str, str, Estimate]]

    @property
    def complete(self) -> bool:
        """Whether every turn of every question has an answer and a grade."""
        return all(model.missing == 0 and model.ungraded == 0 for model in self.models)

    def to_json(self) -> dict[str, Any]:
        return {
            "judge": self.judge,
            "models": [_model_json(model) for model in self.models],
            "differences": [
                {"first": first, "second": second, **_estimate_json(value)} for first, second, value in self.differences
            ],
        }


def summarise(
    questions: Sequence[Question], answers: Sequence[Answer], judgments: Sequence[Judgment], judge: str
) -> Results:
    """Compute every number of the report.

    Args:
        questions: the whole set; a question without an answer counts as missing.
        answers: of all models.
        judgments: by one judge.
        judge: its name.
    """
    labels = list(dict.fromkeys(answer.model for answer in answers))
    models = [_summarise(label, questions, answers, judgments) for label in labels]
    models.sort(key=lambda model: -(model.score.mean if model.score else 0.0))
    scores = {label: _scores(label, judgments) for label in labels}
    pairs = [
        (one.label, two.label, difference(scores[one.label], scores[two.label])) for one, two in combinations(models, 2)
    ]
    return Results(judge, models, [(one, two, value) for one, two, value in pairs if value])


def _summarise(
    label: str, questions: Sequence[Question], answers: Sequence[Answer], judgments: Sequence[Judgment]
) -> ModelResult:
    own = [answer for answer in answers if answer.model == label]
    texts = [turn for answer in own for turn in answer.turns]
    scores = _scores(label, judgments)
    graded = sum(len(values) for values in scores.values())
    categories: dict[str, Estimate] = {}
    for category in dict.fromkeys(question.category for question in questions):
        ids = {question.id for question in questions if question.category == category}
        value = estimate({name: values for name, values in scores.items() if name in ids})
        if value:
            categories[category] = value
    return ModelResult(
        label=label,
        score=estimate(scores),
        categories=categories,
        graded=graded,
        ungraded=len(texts) - graded,
        missing=sum(len(question.turns) for question in questions) - len(texts),
        cut=sum(sum(answer.cut) for answer in own),
        flagged=sum(speaks_to_judge(text) for text in texts),
        words=sum(len(text.split()) for text in texts) / len(texts) if texts else 0.0,
    )


def _scores(label: str, judgments: Sequence[Judgment]) -> dict[str, list[float]]:
    scores: dict[str, list[float]] = {}
    for judgment in judgments:
        if judgment.model == label and judgment.score is not None:
            scores.setdefault(judgment.question, []).append(judgment.score)
    return scores


def _estimate_json(value: Estimate | None) -> dict[str, Any]:
    return {"mean": value.mean, "interval": [value.low, value.high], "count": value.count} if value else {"mean": None}


def _model_json(model: ModelResult) -> dict[str, Any]:
    fields = ("graded", "ungraded", "missing", "cut", "flagged", "words")
    return {
        "label": model.label,
        **_estimate_json(model.score),
        **{name: getattr(model, name) for name in fields},
        "categories": {name: _estimate_json(value) for name, value in model.categories.items()},
    }


def markdown(results: Results) -> str:
    """The tables as a Markdown page."""

    def row(cells: Sequence[object]) -> str:
        return "| " + " | ".join(str(cell) for cell in cells) + " |\n"

    def shown(value: Estimate | None) -> str:
        return f"{value.mean:.2f} ({value.low:.2f} to {value.high:.2f})" if value else "no grades"

    def table(head: Sequence[str], line: Callable[[ModelResult], Sequence[object]]) -> str:
        return row(head) + row(["---"] * len(head)) + "".join(row(line(model)) for model in results.models)

    counts = ("graded", "ungraded", "missing", "cut", "flagged")
    text = f"# Scores\n\nJudge: {results.judge}. Grades from 1 to 10, with 95% intervals.\n\n"
    text += table(
        ["model", "score", *counts],
        lambda model: [model.label, shown(model.score), *(getattr(model, name) for name in counts)],
    )
    if results.differences:
        text += "\n## Differences\n\nPaired by question.\n\n"
        text += "".join(f"- {one} - {two}: {shown(value)}\n" for one, two, value in results.differences)
    categories = list(dict.fromkeys(name for model in results.models for name in model.categories))
    text += "\n## By category\n\n"
    text += table(
        ["model", *categories],
        lambda model: [model.label, *(shown(model.categories.get(name)) for name in categories)],
    )
    return text
