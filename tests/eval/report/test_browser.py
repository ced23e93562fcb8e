"""The report in a real browser, driven as a reader would; needs Chromium."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from camelid.text.words import unicode_tokens
from eval.judging.modes.table import MODES
from eval.report.page import render_page
from tests.eval.run_folders import write_comparison
from tests.eval.synthetic import CHINESE, HOSTILE, MARKDOWN, Evaluation, evaluation

pytestmark = pytest.mark.slow
HACKED = "typeof window.hacked !== 'undefined'"


@cache
def made(mode: str = "single", models: int = 3, judges: int = 1) -> Evaluation:
    return evaluation(mode, models=models, judges=("gpt-4-0613", "claude-v1")[:judges])


@pytest.fixture
def show(open_page: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """Opens a report."""

    def shown_page(shown: Evaluation, address: str = "", **options: Any) -> Any:
        path = tmp_path / "report.html"
        path.write_text(render_page(shown.results, shown.questions, shown.answers, shown.judgments), encoding="utf-8")
        return open_page(f"{path.as_uri()}{address}", path.as_uri(), **options)

    return shown_page


def opened(page: Any) -> str:
    return str(page.locator("#detail .permalink").inner_text())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("policy", [True, False], ids=["policy", "without policy"])
def test_nothing_a_model_wrote_runs(show: Any, mode: str, policy: bool) -> None:
    """Even without the Content-Security-Policy, which is only the second line of defence."""
    shown = made(mode)
    page = show(shown, bypass_csp=not policy)
    for _ in shown.questions:
        page.evaluate("document.querySelectorAll('details').forEach((box) => (box.open = true))")
        assert (
            page.locator("#detail").locator("script, img, svg, iframe, style, object, embed, form, input").count() == 0
        )
        links = page.evaluate("[...document.querySelectorAll('#detail a')].map((a) => a.protocol)")
        assert set(links) <= {"file:", "https:", "http:", "mailto:"}
        page.keyboard.press("j")
        page.wait_for_timeout(20)
    assert opened(page) == shown.questions[-1].id
    page.goto(page.url.split("#")[0] + "#q=q1")
    page.locator("#detail .permalink", has_text="q1").wait_for()
    assert "onerror" in page.locator("#detail .answer").first.inner_text()
    assert not page.evaluate(HACKED)


def test_plain_text_is_the_answer_to_the_letter(show: Any) -> None:
    page = show(made(), "#q=q1")
    page.locator("#detail .raw-switch").first.click()
    assert page.locator("#detail .answer pre.raw").first.evaluate("(box) => box.textContent") == HOSTILE
    assert not page.evaluate(HACKED)


def test_search_finds_words_in_answers_and_marks_them(show: Any) -> None:
    shown = made()
    page = show(shown)
    page.keyboard.press("/")
    page.keyboard.type("床前明月光 疑是")
    page.locator("#count", has_text="1 of 24 questions").wait_for()
    page.keyboard.press("Enter")
    page.locator("#detail .permalink", has_text="q2").wait_for()
    page.wait_for_timeout(100)
    assert page.evaluate("CSS.highlights.get('found').size") >= 4
    heads = " ".join(page.locator("#detail .answer header").all_inner_texts())
    assert f"{len(unicode_tokens(CHINESE))} words" in heads
    page.locator("#search").fill("zzzz nothing has this")
    page.locator("#none").wait_for()
    page.locator("#clear").click()
    assert "24 of 24" in page.locator("#count").inner_text()


def test_filters_count_what_is_there(show: Any) -> None:
    shown = made("pairwise")
    page = show(shown)
    page.select_option("#category", "math")
    expected = sum(question.category == "math" for question in shown.questions)
    assert page.locator("#count").inner_text() == f"{expected} of 24 questions"
    page.select_option("#category", "")
    first, second = page.evaluate("[state.index.models[state.a], state.index.models[state.b]]")
    shares = {"is-a": 0, "is-b": 0, "is-tie": 0, "is-unknown": 0}
    for question in shown.questions:
        verdicts = {
            item.models: item.scores
            for item in shown.judgments
            if item.question == question.id and set(item.models) == {first, second}
        }
        one, other = verdicts.get((first, second)), verdicts.get((second, first))
        if not one or not other:
            shares["is-unknown"] += 1
        elif one[0] == other[1] and one[0] != 0.5:
            shares["is-a" if one[0] == 1 else "is-b"] += 1
        else:
            shares["is-tie"] += 1
    for value, count in shares.items():
        page.select_option("#outcome", value)
        assert page.locator("#count").inner_text() == f"{count} of 24 questions", value
    page.select_option("#outcome", "has-flagged")
    assert page.locator("#list a.item:visible .where").all_inner_texts() == ["q4 · coding"]


def test_what_a_judge_was_asked_is_shown_to_the_letter(show: Any) -> None:
    """The texts that the page has already are not in it twice; what is put together is the prompt."""
    shown = made("pairwise")
    prompts = {}
    for place, judgment in enumerate(shown.judgments):
        texts = [one.turns[0] for one in shown.answers if one.question == judgment.question and one.turns]
        question = next(one for one in shown.questions if one.id == judgment.question)
        material = f"[Question]\n{question.turns[0]}\n" + "\n[Answer]\n".join(texts) + f"\n[The End {place}]"
        shown.judgments[place] = replace(
            judgment, prompt=("Be <b>fair</b>.", material), prompt_version="judge_x-1", parameters={"temperature": 0.5}
        )
        prompts[judgment.question, judgment.models] = material
    made.cache_clear()
    page = show(shown, "#q=q8")
    first, second = page.locator("#detail .answer header b").all_inner_texts()
    boxes = page.locator("#detail .verdict details", has_text="what the judge was asked")
    assert boxes.count() == 2 and "judge_x-1, temperature 0.5" in boxes.first.inner_text()
    boxes.first.locator("summary").click()
    boxes.first.locator("pre").nth(1).wait_for()
    said = boxes.first.locator("pre").evaluate_all("(all) => all.map((box) => box.textContent)")
    assert said[0] == "Be <b>fair</b>."
    assert said[1] in (prompts["q8", (first, second)], prompts["q8", (second, first)])


def test_the_leaderboard_sorts_and_models_are_searched(show: Any) -> None:
    shown = made("alpaca", models=12)
    page = show(shown)
    rows = {row.label: row for row in shown.results.boards[0].rows}

    def names() -> list[str]:
        cells = page.locator("#scores .leader tbody tr:visible th.name").all_inner_texts()
        return [text.split()[0] for text in cells]

    assert names() == list(rows)
    page.locator("#scores .leader thead button", has_text="words").click()
    by_words = [label for label, _ in sorted(rows.items(), key=lambda item: -item[1].words)]
    assert names() == by_words
    page.locator("#scores .leader thead button", has_text="words").click()
    assert names() == by_words[::-1]
    page.locator("#scores .leader thead button", has_text="at equal length").click()
    known = {label: row.length_controlled.mean for label, row in rows.items() if row.length_controlled}
    assert names() == [*sorted(known, key=lambda label: -known[label]), shown.results.baseline]
    page.locator("#models").fill("camelid")
    assert set(names()) == {"camelid-7b", "camelid-13b"}
    assert page.locator("#basis .board:visible tbody tr:visible").count() == 3  # and the total
    page.locator("#models").fill("")
    assert len(names()) == 12


def test_questions_in_the_order_of_what_changed(show: Any) -> None:
    """What one model gains on the other, question by question; j goes on in that order."""
    shown = made()
    page = show(shown)
    first, second = page.locator("#detail .answer header b").all_inner_texts()
    grades = {(one.models[0], one.question): one.scores[0] for one in shown.judgments if one.scores}
    gains = {
        question.id: grades[second, question.id] - grades[first, question.id]
        for question in shown.questions
        if {(first, question.id), (second, question.id)} <= set(grades)
    }
    page.select_option("#order", "b")
    listed = [text.split(" · ")[0] for text in page.locator("#list a.item:visible .where").all_inner_texts()]
    assert len(listed) == 24 and set(listed[: len(gains)]) == set(gains)
    in_order = [gains[name] for name in listed[: len(gains)]]
    assert in_order == sorted(gains.values(), reverse=True)
    page.locator("#list a.item").first.click()
    page.keyboard.press("j")
    page.locator("#detail .permalink", has_text=listed[1]).wait_for()
    page.select_option("#order", "")
    first_listed = page.locator("#list a.item:visible .where").first.inner_text()
    assert first_listed.split(" · ")[0] == shown.questions[0].id


@pytest.fixture
def compared(open_page: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """Opens the comparison of two runs, one of each of the first two models."""

    def shown_page(shown: Evaluation, address: str = "") -> Any:
        path = write_comparison(tmp_path, shown)
        return open_page(f"{path.as_uri()}{address}", path.as_uri())

    return shown_page


def test_two_runs_open_with_what_changed_most(compared: Any) -> None:
    """In that order, also after the filters are cleared; a link opens its question; nothing that a model wrote runs."""
    shown = made()
    before, after = shown.results.models[:2]
    page = compared(shown)
    grades = {(one.models[0], one.question): one.scores[0] for one in shown.judgments if one.scores}
    changes = {
        question.id: grades[after, question.id] - grades[before, question.id]
        for question in shown.questions
        if {(before, question.id), (after, question.id)} <= set(grades)
    }

    def listed() -> list[str]:
        return [text.split(" · ")[0] for text in page.locator("#list a.item:visible .where").all_inner_texts()]

    in_order = listed()
    assert len(in_order) == 24 and set(in_order[: len(changes)]) == set(changes)
    sizes = [abs(changes[name]) for name in in_order[: len(changes)]]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] > sizes[-1]
    assert opened(page) == in_order[0]
    assert page.locator("#detail .answer header b").all_inner_texts() == [before, after]
    for outcome, fits in (("is-a", lambda change: change < 0), ("is-b", lambda change: change > 0)):
        page.select_option("#outcome", outcome)
        assert set(listed()) == {name for name, change in changes.items() if fits(change)}
    page.select_option("#outcome", "has-alike")
    assert set(listed()) == {"q0", "q1", "q2"}
    page.evaluate(f"location.hash = '#q=q1&a={before}&b={after}'")
    page.locator("#detail .permalink", has_text="q1").wait_for()
    assert listed() == in_order and page.locator("#detail .verdict").count() == 2
    assert not page.evaluate(HACKED)


def test_a_link_opens_a_question_of_two_runs(compared: Any) -> None:
    shown = made("alpaca")
    _, after, baseline = shown.results.models
    page = compared(shown, f"#q=q8&a={after}&b={baseline}")
    assert (opened(page), page.locator("#detail .answer header b").all_inner_texts()) == ("q8", [after, baseline])
    assert page.locator("#detail .permalink").get_attribute("href") == f"#q=q8&a={after}&b={baseline}"


def test_deep_links_open_their_question(show: Any) -> None:
    page = show(made(), "#q=odd%20id%2F%C3%A4%26%233")
    assert opened(page) == "odd id/ä&#3"
    assert page.locator("#questions").evaluate("(box) => box.getBoundingClientRect().top") < 900
    page.evaluate("location.hash = '#q=q5'")
    page.locator("#detail .permalink", has_text="q5").wait_for()
    page.evaluate("location.hash = '#q=%E0%A4%A'")
    page.evaluate("location.hash = '#q=unknown'")
    assert opened(page) == "q5"


def test_deep_links_open_their_comparison(show: Any) -> None:
    page = show(made(models=4), "#q=q8&a=alpaca-7b&b=camelid-13b")
    names = page.locator("#detail .answer header b")
    assert (opened(page), names.all_inner_texts()) == ("q8", ["alpaca-7b", "camelid-13b"])
    again = page.locator("#detail .permalink").get_attribute("href")
    assert again == "#q=q8&a=alpaca-7b&b=camelid-13b" and page.url.endswith(again)
    rows = page.locator("#pairs .board:visible .matrix tbody th").all_inner_texts()
    page.locator("#pairs .board:visible .matrix tbody tr").nth(0).locator("a").nth(2).click()  # against the last row
    page.locator("#detail .answer.a header b", has_text=rows[0]).wait_for()
    assert (opened(page), names.all_inner_texts()) == ("q8", [rows[0], rows[3]])
    assert page.locator("#questions").evaluate("(box) => box.getBoundingClientRect().top") < 900


def test_the_tally_is_of_the_questions_shown(show: Any) -> None:
    shown = made()
    page = show(shown)
    first, second = page.locator("#detail .answer header b").all_inner_texts()
    grades = {(one.models[0], one.question): one.scores[0] for one in shown.judgments if one.scores}
    for category in ("math", ""):
        page.select_option("#category", category)
        counts = {"A better": 0, "equal": 0, "B better": 0, "no score": 0}
        for question in shown.questions:
            one, two = grades.get((first, question.id)), grades.get((second, question.id))
            if category not in ("", question.category):
                continue
            if one is None or two is None:
                counts["no score"] += 1
            else:
                counts["A better" if one > two else "B better" if one < two else "equal"] += 1
        said = [f"{name} {count}" for name, count in counts.items() if count or name != "no score"]
        assert page.locator("#tally").inner_text() == " · ".join(said)


def test_the_page_works_without_a_mouse(show: Any) -> None:
    """Tab reaches every control, enters the list once, and a pressed button keeps the focus on the next question."""
    page = show(made(models=4))
    page.locator("#search").focus()
    reached = []
    for _ in range(8):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert reached[:6] == ["category", "outcome", "order", "model-a", "model-b", "item"] and reached.count("item") == 1
    page.locator("#detail [data-keep=next]").focus()
    for expected in ("q1", "q2"):
        page.keyboard.press("Enter")
        page.locator("#detail .permalink", has_text=expected).wait_for()
        assert page.evaluate("document.activeElement.dataset.keep") == "next"
    for _ in range(3):
        page.keyboard.press("Tab")
    chosen = page.evaluate("document.activeElement.firstChild.textContent")  # the third model among the scores
    page.keyboard.press("Space")
    page.locator("#detail .answer.b header b", has_text=chosen).wait_for()
    assert page.evaluate("document.activeElement.firstChild.textContent") == chosen


def test_keys_and_choices(show: Any) -> None:
    page = show(made("pairwise", models=4))
    assert opened(page) == "q0"
    page.keyboard.press("j")
    page.locator("#detail .permalink", has_text="q1").wait_for()
    models = page.locator("#detail .answer header b").all_inner_texts()
    assert page.url.endswith(f"#q=q1&a={models[0]}&b={models[1]}")
    page.keyboard.press("k")
    page.locator("#detail .permalink", has_text="q0").wait_for()
    page.locator("#list a.item").first.focus()
    page.keyboard.press("ArrowDown")
    page.locator("#detail .permalink", has_text="q1").wait_for()
    assert page.evaluate("document.activeElement.dataset.place") == "1"
    page.keyboard.press("k")
    page.select_option("#model-b", label="alpaca-7b")
    page.locator("#detail .answer.b header b", has_text="alpaca-7b").wait_for()
    both = page.locator("#detail .verdict")
    assert both.count() == 1 and both.locator("details").count() == 2  # both orders, each with its raw reply
    both.locator("summary").first.click()
    assert "The answer is sound." in both.locator("pre").first.inner_text()


def test_boards_and_radar_lines_switch(show: Any) -> None:
    page = show(made(models=8, judges=2))
    page.select_option("#board", label="claude-v1")
    assert page.locator("#scores .board:visible").count() == 1
    lines = page.locator("#categories .board:visible g.series:visible")
    assert lines.count() == 5
    page.locator("#categories .board:visible .legend button[aria-pressed=false]").first.click()
    assert lines.count() == 6


@pytest.mark.parametrize("width", [320, 390, 768, 1280, 1920])
@pytest.mark.parametrize("models", [1, 20])
def test_nothing_is_wider_than_the_screen(show: Any, width: int, models: int) -> None:
    page = show(made(models=models), viewport={"width": width, "height": 844})
    for _ in range(8):
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.keyboard.press("j")
        page.wait_for_timeout(20)


def test_dark_pages_are_dark(show: Any) -> None:
    def brightness(page: Any, what: str) -> float:
        colour = page.evaluate(f"getComputedStyle(document.body).{what}")
        return sum(map(float, colour.removeprefix("rgb(").removesuffix(")").split(","))) / 3

    for scheme, dark in (("dark", True), ("light", False)):
        page = show(made(), color_scheme=scheme)
        assert (brightness(page, "backgroundColor") < 60) == dark and (brightness(page, "color") > 180) == dark


class Shape(HTMLParser):
    """A rendering as nested names and text, without what may differ: attributes and space between blocks."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.parts = list[str]()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "div":
            self.parts.append(f"<{tag}>")

    def handle_endtag(self, tag: str) -> None:
        if tag != "div":
            self.parts.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.parts.append(" ".join(data.split()))


SAMPLES = [
    MARKDOWN,
    "Plain text\nwith a break\n\nand a *second* paragraph, **bold _nested_ text** and ***both***.",
    "1. one\n2. two\n\n   still two\n3. three\n\nafter",
    "* a\n* b\n    * c\n        * d\n* e",
    "- a\n\n- b\n- c",
    "```\nplain fence\n\n  indented\n```\ntext\n~~~js\nlet a = '<b>';\n~~~",
    "```python\nnever closed",
    "    indented code\n\n    more of it\n\ntext",
    "> quote\n> goes on\nlazily\n\n> > nested\n> - with a list\n> - of two",
    "Title\n=====\n\nSub\n---\n\n# One #\n###### Six\n####### seven",
    "a | b\n--|--\n1 | 2 \\| 3\n4\n\nnot | a table",
    "snake_case_name and 2*3*4 and * lone star and ** too",
    "`code` and ``co`de`` and `never closed and \\`escaped\\` \\*not em\\*",
    '[a](https://example.org/x_(y)) and [b](<https://example.org/z> "title") [not a link] [c] (d)',
    "line one  \nline two\\\nline three",
    "***\n\n- - -\n\n_ _ _\n\ntext",
    "10) ten\n11) eleven\n\n- other\n+ kind",
    "**Bold:**text and **“quoted”** 中文**粗体**中文 ~~gone~~ ~one~",
    "1. a\n   ```sh\n   ls\n   ```\n2. b\n\n   > q",
    "text\n# heading\ntext\n- item\ntext\n\n2. not one",
    "<https://example.org> &lt; <b>no tag</b> <!-- no comment -->",
]


@pytest.mark.parametrize("text", SAMPLES)
def test_markdown_reads_as_commonmark(show: Any, text: str) -> None:
    """The truth is markdown-it; ours keeps line breaks, and sets headings two levels lower, below the page's own."""
    page = show(made(models=1))
    ours = Shape(page.evaluate("(text) => markdown(text).innerHTML", text)).parts
    oracle = MarkdownIt("commonmark", {"html": False, "breaks": True, "xhtmlOut": False}).enable(
        ["table", "strikethrough"]
    )
    theirs = Shape(oracle.render(text.replace("&lt;", "&amp;lt;"))).parts
    for level in range(6, 0, -1):
        theirs = [part.replace(f"h{level}>", f"h{min(6, level + 2)}>") for part in theirs]
    assert ours == theirs


@pytest.mark.parametrize(
    "unit",
    [
        *("[", "[a](", "![", "[[[](", "*a ", "**a _b ", "a* ", "_a *b", "a* b_ ", "`a``b```c", "<http://", "\\", "("),
        *("> ", "- ", "  - a\n", "1. ", "|", "|a\n|-\n", "#", "~~~a\n", " ", "\n"),
    ],
)
def test_no_text_hangs_the_page(show: Any, unit: str) -> None:
    page = show(made(models=1))
    took = page.evaluate(
        "(text) => { const start = performance.now(); markdown(text); return performance.now() - start; }",
        unit * (60_000 // len(unit)),
    )
    assert took < 2_000


def test_805_questions_and_20_models_load_in_3_seconds(show: Any, tmp_path: Path, browser: Any) -> None:
    """From opening the file until a question is on the page and the keys work; the best of three: others add noise."""
    shown = evaluation(models=20, questions=805, characters=1_500, counted=40)
    path = tmp_path / "big.html"
    path.write_text(render_page(shown.results, shown.questions, shown.answers, shown.judgments), encoding="utf-8")
    times = []
    for _ in range(3):
        page = browser.new_page()
        start = time.perf_counter()
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]", state="attached")
        times.append(time.perf_counter() - start)
        if len(times) < 3:
            page.close()
    nodes = page.evaluate("document.querySelectorAll('*').length")
    start = time.perf_counter()
    page.locator("#search").fill("床前明月光")
    page.locator("#count", has_text="1 of 805 questions").wait_for()
    first_search = time.perf_counter() - start
    start = time.perf_counter()
    page.locator("#search").fill("evidence")
    page.locator("#count", has_text="805 questions").wait_for()
    print(f"{path.stat().st_size / 1e6:.1f} MB, loaded in {min(times):.2f} to {max(times):.2f} s, {nodes} nodes, "
          f"first search {first_search:.2f} s, next {time.perf_counter() - start:.2f} s")  # fmt: skip
    page.close()
    assert min(times) < 3 and first_search < 10
