"""The question browser of a page: every question, two answers side by side, the verdicts on both, a link to each.

One viewer for all pages: `data/questions.html` is its place in a page, `data/report_question.js` and `data/report.js`
are its script, beside what pages with a list share (`camelid.page`), `eval.report.page_data` its data.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from camelid.page import browsing_script, content_hash
from eval.ask.answer import Answer
from eval.ask.questions import Question
from eval.judging.judgment import Judgment
from eval.report.page_data import PackedPage, pack_page
from eval.report.template import data_file
from eval.results import Results

if TYPE_CHECKING:
    from markupsafe import Markup


@dataclass(frozen=True, slots=True)
class QuestionBrowser:
    """What `data/questions.html` is made of.

    Attributes:
        packed: the questions, answers and verdicts.
        script, script_hash: the page's script, and what lets its Content-Security-Policy pass it.
        compared: whether the page is of two models only, what changed most first.
    """

    packed: PackedPage
    script: "Markup"
    script_hash: str
    compared: bool


def make_browser(
    results: Results,
    questions: Sequence[Question],
    answers: Sequence[Answer],
    judgments: Sequence[Judgment],
    compared: tuple[str, str] | None = None,
) -> QuestionBrowser:
    """Bring together what a page needs to show the questions.

    Args:
        results: the page's numbers.
        questions, answers, judgments: what they were made from.
        compared: the two models that the page is about; None opens it with the best two.
    """
    from markupsafe import Markup

    script = browsing_script(data_file("report_question.js"), data_file("report.js"))
    packed = pack_page(results, questions, answers, judgments, compared)
    return QuestionBrowser(packed, Markup(script), content_hash(script), compared is not None)
