"""The report: one HTML file that needs nothing else, the same as Markdown, the numbers as JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from eval.answer import Answer
from eval.judge import Judgment
from eval.questions import Question
from eval.results import Results

OFFLINE_NOTE = (
    "The judge is Camelid's embedded rule: it grades the overlap of an answer's words with the reference answer "
    "(ROUGE-L). That is agreement with the reference, not quality as a person or GPT-4 would see it."
)


@dataclass(frozen=True)
class Turn:
    """One answer with its grade, for display."""

    label: str
    answer: str | None
    cut: bool
    failure: str | None
    score: float | None
    judgment: str


@dataclass(frozen=True)
class Exchange:
    """One turn of a question with what every model said."""

    question: str
    reference: str | None
    turns: list[Turn]


@dataclass(frozen=True)
class Entry:
    """One question of the report; `scores` holds each model's mean grade, in the order of the models."""

    id: str
    category: str
    exchanges: list[Exchange]
    scores: list[float | None]


def html(
    title: str,
    results: Results,
    questions: Sequence[Question],
    answers: Sequence[Answer],
    judgments: Sequence[Judgment],
) -> str:
    """Render the report.

    Everything a model or a user wrote is escaped or rendered as Markdown without raw HTML; links keep only safe
    schemes, and pictures are not loaded.
    """
    import jinja2
    from markdown_it import MarkdownIt
    from markupsafe import Markup

    renderer = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    source = files("eval").joinpath("data/report.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["markdown"] = lambda text: Markup(renderer.render(text))
    labels = [model.label for model in results.models]
    return environment.from_string(source).render(
        title=title,
        results=results,
        entries=entries(labels, questions, answers, judgments),
        categories=list(dict.fromkeys(question.category for question in questions)),
        headline=headline(results),
        note=OFFLINE_NOTE if results.judge == "offline" else None,
    )


def entries(
    labels: Sequence[str], questions: Sequence[Question], answers: Sequence[Answer], judgments: Sequence[Judgment]
) -> list[Entry]:
    """Bring together what belongs to each question."""
    said = {(answer.question, answer.model): answer for answer in answers}
    graded = {(judgment.question, judgment.model, judgment.turn): judgment for judgment in judgments}
    made = []
    for question in questions:
        exchanges = []
        for index, text in enumerate(question.turns):
            turns = [
                _turn(label, index, said.get((question.id, label)), graded.get((question.id, label, index + 1)))
                for label in labels
            ]
            exchanges.append(Exchange(text, question.references[index] if question.references else None, turns))
        scores = [_mean([exchange.turns[place].score for exchange in exchanges]) for place in range(len(labels))]
        made.append(Entry(question.id, question.category, exchanges, scores))
    return made


def _turn(label: str, index: int, answer: Answer | None, judgment: Judgment | None) -> Turn:
    there = answer is not None and index < len(answer.turns)
    failure = None if there else (answer.failure if answer else None) or "no answer in the answer file"
    return Turn(
        label=label,
        answer=answer.turns[index] if answer and there else None,
        cut=bool(answer and there and answer.cut[index]),
        failure=failure or (judgment.failure if judgment else None),
        score=judgment.score if judgment else None,
        judgment=judgment.text if judgment else "",
    )


def _mean(scores: list[float | None]) -> float | None:
    known = [score for score in scores if score is not None]
    return sum(known) / len(known) if known else None


def headline(results: Results) -> str:
    """The finding in one sentence, no stronger than the numbers."""
    if not results.models or results.models[0].score is None:
        return "No answer was graded, so there is nothing to compare."
    best = results.models[0]
    if not results.differences:
        return f"{best.label} scores {results.models[0].score.mean:.2f} of 10."
    first, second, gap = results.differences[0]
    if gap.low > 0:
        return (
            f"{first} beats {second} by {gap.mean:.2f} points of 10 "
            f"(95% interval {gap.low:.2f} to {gap.high:.2f}, paired by question)."
        )
    return (
        f"{first} and {second} cannot be told apart: the difference is {gap.mean:.2f} points of 10 "
        f"(95% interval {gap.low:.2f} to {gap.high:.2f}, paired by question)."
    )
