"""The report as one HTML file that needs nothing else."""

from collections.abc import Sequence

from eval.answer import Answer
from eval.headline import headline
from eval.judgments import Judgment
from eval.questions import Question
from eval.results import Results


def html(
    results: Results, questions: Sequence[Question], answers: Sequence[Answer], judgments: Sequence[Judgment]
) -> str:
    """Render the report."""
    return headline(results)
