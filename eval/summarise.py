"""From questions, answers and judgments to all numbers of a report; nothing is left out uncounted."""

from collections.abc import Sequence

from eval.answer import Answer
from eval.judgments import Judgment
from eval.questions import Question
from eval.results import Results


def summarise(
    title: str,
    questions: Sequence[Question],
    answers: Sequence[Answer],
    judgments: Sequence[Judgment],
    baseline: str | None = None,
    forced: bool = False,
) -> Results:
    """Compute every number of the report.

    Args:
        title: of the page.
        questions: the whole set; a question without an answer counts as missing.
        answers: of all models.
        judgments: by any number of judges, all of one mode.
        baseline: the model the others are compared with.
        forced: rank an incomplete run too.
    """
    raise NotImplementedError(title)
