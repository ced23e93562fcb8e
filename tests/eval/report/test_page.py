"""The report without a browser: the numbers are the results', nothing a model wrote is markup, nothing gets lost."""

import base64
import gzip
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from camelid.text.words import count_words
from eval.ask.answer import Answer
from eval.ask.questions import Question
from eval.judging.judgments import Judgment
from eval.judging.modes.table import MODES
from eval.numbers.summarise import summarise
from eval.report.page import render_page
from tests.eval.commands import ASKED
from tests.eval.synthetic import CHINESE, HOSTILE, Evaluation, evaluation


class Page(HTMLParser):
    """A page's tags, its tables as text, and what its scripts and styles hold."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags = list[tuple[str, dict[str, str | None]]]()
        self.tables = list[list[list[str]]]()
        self.raw = list[tuple[dict[str, str | None], str]]()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        elif tag in ("script", "style"):
            self.raw.append((dict(attrs), ""))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] in ("script", "style") and not self.raw[-1][1]:
            self.raw[-1] = (self.raw[-1][0], data)
        else:
            self.text += data
            if self.tables and self.tables[-1] and self.tables[-1][-1]:
                self.tables[-1][-1][-1] += data.strip() + " "

    def data(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The index and all details, unpacked as the page does it."""
        packed = {attributes["id"]: text for attributes, text in self.raw if attributes.get("type") == "text/plain"}
        unpacked = {name: json.loads(gzip.decompress(base64.b64decode(text))) for name, text in packed.items()}
        index = unpacked["index"]
        return index, [unpacked[f"block-{entry['block']}"][entry["place"]] for entry in index["questions"]]


def page(made: Evaluation) -> Page:
    return Page(render_page(made.results, made.questions, made.answers, made.judgments))


@pytest.mark.parametrize("mode", MODES)
def test_the_leaderboard_says_what_the_results_say(mode: str) -> None:
    made = evaluation(mode, models=4)
    table = page(made).tables[0]
    rows = {cells[1].split()[0]: cells for cells in table if len(cells) > 4}
    decimals = 1 if MODES[mode].scale.unit == "%" else 2
    for row in made.results.boards[0].rows:
        cells = rows[row.label]
        assert row.score
        expected = f"{row.score.mean:,.{decimals}f}" + ("%" if MODES[mode].scale.unit == "%" else "")
        assert cells[3].split()[0] == expected
        if row.label != made.results.baseline:
            assert row.score.low is not None and f"{row.score.low:,.{decimals}f} to" in cells[3]
        assert cells[-1].strip() == f"{row.words:,.0f}"
        if MODES[mode].paired:
            assert f"{row.wins} · {row.ties} · {row.losses} " in cells


@pytest.mark.parametrize("mode", MODES)
def test_every_text_and_verdict_is_in_the_data(mode: str) -> None:
    made = evaluation(mode, models=3, turns=2)
    index, details = page(made).data()
    said = {(answer.question, answer.model): answer for answer in made.answers}
    replies = set[tuple[str, str]]()
    for question, entry, detail in zip(made.questions, index["questions"], details, strict=True):
        assert (entry["id"], tuple(detail["turns"])) == (question.id, question.turns)
        assert tuple(detail["references"]) == question.references
        for label, answer in zip(index["models"], detail["answers"], strict=True):
            expected = said.get((question.id, label))
            assert (answer and tuple(answer[0])) == (expected and expected.turns)
            assert expected is None or answer[3] == [count_words(text) for text in expected.turns]
        replies |= {(question.id, asked[2]) for outcome in detail["outcomes"] for asked in outcome[5]}
    assert replies == {(judgment.question, judgment.text) for judgment in made.judgments}


def test_a_prompt_does_not_repeat_the_texts() -> None:
    """A prompt that quotes the answers word for word takes a name for each; every other word is kept."""
    question, long = Question("1", "c", ("What is so long that it is worth a name of its own?",)), "An answer. " * 20
    judgment = Judgment(
        "single", "1", 1, ("m",), "j", (3.0,), "ok", prompt=("Rules", f"Q: {question.turns[0]} A: {long}!"),
        prompt_version="v", parameters={"max_tokens": 5},
    )  # fmt: skip
    answers = [Answer("1", "m", (long,), (False,))]
    results = summarise("t", [question], answers, [judgment])
    index, [detail] = Page(render_page(results, [question], answers, [judgment])).data()
    assert index["settings"] == [["v", {"max_tokens": 5}, "Rules"]]
    assert detail["outcomes"][0][5][0][4] == [0, ["Q: ", ["turns", 0], " A: ", ["answers", 0, 0], "!"]]


def test_scores_pairs_and_issues_of_a_question() -> None:
    questions = [Question("1", "c", ("Q",)), Question("2", "c", ("Q",)), Question("3", "c", ("Q",))]
    answers = [Answer(q.id, model, ("t" if q.id == "2" else model,), (False,)) for q in questions for model in "ab"]
    answers[-1] = Answer("3", "b", (), (), "timeout: no reply")

    def judged(question: str, first: str, second: str, scores: tuple[float, ...] | None) -> Judgment:
        return Judgment("pairwise", question, 1, (first, second), "j", scores, "text")

    judgments = [
        judged("1", "a", "b", (1, 0)),
        judged("1", "b", "a", (0, 1)),
        judged("2", "a", "b", (1, 0)),
        judged("2", "b", "a", (1, 0)),
    ]
    results = summarise("t", questions, answers, judgments)
    index, _ = Page(render_page(results, questions, answers, judgments)).data()
    one, two, three = index["questions"]
    assert (one["pairs"], one["scores"], one["issues"]) == ([[0, 1, 1.0, 0.0]], [1.0, 0.0], [])
    assert (two["pairs"], two["scores"], two["issues"]) == ([[0, 1, 0.5, 0.5]], [0.5, 0.5], ["contradiction", "alike"])
    assert (three["pairs"], three["scores"], three["issues"]) == ([], [None, None], ["missing"])


@pytest.mark.parametrize("mode", MODES)
def test_nothing_a_model_wrote_is_markup(mode: str) -> None:
    made = evaluation(mode, models=3)
    seen = page(made)
    names = [name for name, _ in seen.tags]
    assert not {"img", "iframe", "object", "embed", "link", "base", "form"} & set(names)
    assert names.count("style") == 1
    scripts = [(attributes, text) for attributes, text in seen.raw if "}" in text and "function" in text]
    assert len(scripts) == 1 and names.count("script") == 1 + 1 + sum("block-" in str(a.get("id")) for a, _ in seen.raw)
    for attributes, text in seen.raw:
        assert attributes.get("type") != "text/plain" or re.fullmatch(r"[A-Za-z0-9+/=]+", text)
    for _, attributes in seen.tags:
        assert not any(key.startswith("on") or key in ("style", "src", "srcdoc") for key in attributes)
        assert not str(attributes.get("href", "#")).strip().lower().startswith(("javascript", "data"))


def test_labels_and_ids_are_escaped_too() -> None:
    questions = [Question("<i>1/&", "<b>cat", (HOSTILE,)), Question("2", "<b>two", ("?",))]
    answers = [Answer(q.id, "<u>m</script>", (HOSTILE + " Rating: [[10]]",), (True,)) for q in questions]
    judgments = [Judgment("single", q.id, 1, ("<u>m</script>",), "<s>j", (3.0,), HOSTILE) for q in questions]
    seen = Page(render_page(summarise("<h1>t", questions, answers, judgments), questions, answers, judgments))
    names = [name for name, _ in seen.tags]
    assert not {"u", "s", "img", "iframe"} & set(names) and names.count("h1") == 1
    assert {"<u>m</script>", "<s>j", "<b>cat", "<h1>t"} <= set(
        re.findall(r"<[us]>\w+(?:</script>)?|<b>cat|<h1>t", seen.text)
    )
    links = [attributes["href"] for name, attributes in seen.tags if name == "a"]
    assert "#q=%3Ci%3E1%2F%26&a=%3Cu%3Em%3C%2Fscript%3E" in links  # as encodeURIComponent writes it


def test_the_policy_names_exactly_this_script_and_style() -> None:
    seen = page(evaluation(models=2, questions=4))
    policy = next(a["content"] for name, a in seen.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none'; ") and "unsafe" not in policy
    shown = [text for attributes, text in seen.raw if attributes.get("type") != "text/plain"]
    for text in shown:
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert len(shown) == 2


@pytest.mark.parametrize("mode", ASKED)
def test_two_turns_have_a_table_of_their_own(mode: str) -> None:
    made = evaluation(mode, models=3, turns=2, questions=16)
    table = next(table for table in page(made).tables if "turn 2" in " ".join(table[0]))
    shown = {cells[0].strip(): [cell.split()[0].rstrip("%") for cell in cells[1:]] for cells in table[1:]}
    decimals = 1 if MODES[mode].scale.unit == "%" else 2
    expected = {
        row.label: [f"{part.score.mean:,.{decimals}f}" for part in row.turns]
        for row in made.results.boards[0].rows
        if row.turns
    }
    assert shown == expected and len(shown) == (2 if made.results.baseline else 3)


def test_incomplete_runs_say_so_and_rank_nobody() -> None:
    short, whole = evaluation(models=3), evaluation(models=3, perfect=True)
    assert not short.results.complete and whole.results.complete
    ranks = {
        made.results.complete: [cells[0].strip() for cells in page(made).tables[0][1:-1]] for made in (short, whole)
    }
    assert ranks == {False: ["\N{EN DASH}"] * 3, True: ["1", "2", "3"]}
    assert page(short).text.count("Incomplete") >= 2 and "Incomplete" not in page(whole).text


def test_the_denominator_is_on_top_and_in_full_below() -> None:
    made = evaluation("pairwise", models=3)
    counts = made.results.boards[0].counts
    seen = page(made)
    assert f"{counts.judged} of {counts.expected} judgments" in " ".join(seen.text.split())
    total = next(cells for table in seen.tables for cells in table if cells and cells[0].strip() == "total")
    lost = (counts.failed, counts.unparsed, counts.unasked, counts.duplicate)
    assert [int(cell) for cell in total[1:8]] == [counts.expected, counts.answered, counts.judged, *lost]
    assert counts.judged < counts.expected == 3 * 2 * len(made.questions)  # pairs, orders: each judgment once


@pytest.mark.parametrize(("mode", "baseline"), [("alpaca", True), ("vicuna", True), ("pairwise", False)])
def test_where_all_met_one_baseline_there_is_a_bar_for_each(mode: str, baseline: bool) -> None:
    made = evaluation(mode, models=4)
    seen = page(made)
    bars = [
        attributes
        for name, attributes in seen.tags
        if name == "rect" and attributes["class"] in ("won", "tied", "lost")
    ]
    assert len(bars) == (3 * 3 if baseline else 0)
    if baseline:
        met = {one.first: one for one in made.results.boards[0].meetings}
        for place, row in enumerate(
            one for one in made.results.boards[0].meetings if one.first != made.results.baseline
        ):
            whole = met[row.first].wins + met[row.first].ties + met[row.first].losses
            widths = [float(str(bar["width"]).rstrip("%")) for bar in bars[3 * place : 3 * place + 3]]
            assert sum(widths) == pytest.approx(100, abs=0.02)
            assert widths[0] == pytest.approx(100 * row.wins / whole, abs=0.01)


@pytest.mark.parametrize("mode", MODES)
def test_a_run_in_which_no_reply_held_a_verdict_has_a_page_too(mode: str) -> None:
    made = evaluation(mode, models=3)
    silent = [replace(judgment, scores=None, text="I can't say.") for judgment in made.judgments]
    results = summarise("t", made.questions, made.answers, silent, made.results.baseline)
    seen = Page(render_page(results, made.questions, made.answers, silent))
    assert "Incomplete" in seen.text and "nothing judged" in seen.text
    assert all("unparsed" in entry["issues"] for entry in seen.data()[0]["questions"] if entry["id"] != "q6")


@pytest.mark.parametrize("models", [1, 2, 3, 21])
def test_any_number_of_models(models: int) -> None:
    seen = page(evaluation("single", models=models, questions=8, characters=60, perfect=True))
    matrices = [table for table in seen.tables if len(table) == models + 1 and len(table[0]) == models + 1]
    assert bool([1 for table in matrices if "·" in table[1][1]]) == (models > 1)
    assert sum(name == "g" and "data-series" in attributes for name, attributes in seen.tags) == models


def test_several_judges_have_a_board_each() -> None:
    made = evaluation(models=3, judges=("one", "two"), questions=10)
    seen = page(made)
    assert [board.judge for board in made.results.boards] == ["all judges", "one", "two"]
    hidden = [("hidden" in attributes) for _, attributes in seen.tags if attributes.get("class") == "board"]
    assert hidden and hidden == [place % 3 > 0 for place in range(len(hidden))]


def test_the_same_input_makes_the_same_page() -> None:
    made = evaluation("alpaca", models=3)
    assert render_page(made.results, made.questions, made.answers, made.judgments) == render_page(
        made.results, made.questions, made.answers, made.judgments
    )


def test_half_a_surrogate_does_not_break_the_page() -> None:
    made = evaluation(models=1, questions=2, perfect=True)
    answers = [replace(answer, turns=("\ud83d broken",)) for answer in made.answers]
    _, details = Page(render_page(made.results, made.questions, answers, made.judgments)).data()
    assert details[0]["answers"][0][0] == ["? broken"] and details[0]["answers"][0][3] == [2]
    assert CHINESE in evaluation(models=1).answers[2].turns
