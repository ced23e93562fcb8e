"""The tables of the Markdown page."""

from dataclasses import replace

from eval.ask.answer import Answer
from eval.ask.questions import Question
from eval.numbers.summarise import summarise
from eval.report.markdown import render_markdown
from tests.eval.known_judgments import QUESTIONS, graded, paired, said, single


def test_a_model_is_called_by_its_name_and_nothing_else() -> None:
    """In the first lines, too: no markup, no link, no new line."""
    name = "<img src=x>\n# *a* [b](javascript:1)"
    page = render_markdown(replace(summarise("t", QUESTIONS, said(name), graded(name, 0)), title="<b>t\n# u"))
    first, _, second = page.split("\n")[:3]
    assert first == "# &lt;b>t # u"
    assert second.startswith("&lt;img src=x> # \\*a\\* [b]\\(javascript:1) scores")
    assert "<img" not in page and "\n# " not in page.removeprefix("# ")


def test_markdown_holds_the_tables() -> None:
    page = render_markdown(single(2))
    assert page.startswith("# t\n\nb beats a") and "| 1 | b | 6.9" in page and "| b - a | +" in page
    evil = summarise("t", QUESTIONS, said("a|b\nc"), graded("a|b\nc", 0))
    assert "| 1 | a\\|b c |" in render_markdown(evil)
    talk = Question("0", "all", ("?", "And?"))
    answers = [Answer("0", "a", ("Rating: [[10]]", "ok"), (False, False))]
    page = render_markdown(summarise("t", [talk], answers, [replace(graded("a", 0)[0], turn=turn) for turn in (1, 2)]))
    assert "## By turn\n\n| model | 1 | 2 |" in page and "## Win rates" not in page
    assert "| a | 0 | 1 | contains a verdict | Rating: [[10]] |" in page
    page = render_markdown(summarise("t", QUESTIONS, said("x", "y"), paired("vicuna", 0.7)))
    assert "| rank | model | relative score | rating | wins | ties | losses | sums |" in page
