"""Every judging mode is whole, and judges and reports from the command line; so does one that is added today."""

import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from eval.judging.modes.mode import WIN_RATE, Asking, Mode, share
from eval.judging.modes.table import MODES
from eval.judging.verdict import find_verdict
from tests.eval.commands import ASKED, Eval, model, report, two_answers
from tests.fake_openai import FakeOpenAI


class Run(NamedTuple):
    """A run of one mode on two models' answers to 12 questions of two turns.

    Attributes:
        options: of `eval judge`.
        form: words by which the judge's instructions ask for the verdict.
        reply: the judge's to every request: the first of two is better.
        verdict: the scores in it.
        requests: so many, without the audit.
        score: model a's; None where it depends on the orders drawn.
    """

    options: tuple[str, ...]
    form: str
    reply: str
    verdict: tuple[float, ...]
    requests: int
    score: float | None


RUNS = [
    Run(("--mode", "single"), "Rating:", "Rating: [[7]]", (7.0,), 2 * 24, 7.0),
    # always the first: every pair is a contradiction
    Run(("--mode", "pairwise"), "[[A]]", "[[A]]", (1.0, 0.0), 2 * 24, 50.0),
    Run(("--mode", "vicuna", "--baseline", "b"), "first line", "8 6\nThe first is better.", (8, 6), 2 * 24, 100.0),
    Run(("--mode", "alpaca", "--baseline", "b"), "one letter", "m", (1.0, 0.0), 24, None),
    Run(
        ("--mode", "alpaca", "--baseline", "b", "--ranking"),
        "{'model': 'model_1', 'rank'",
        "[{'model': 'model_1', 'rank': 1}, {'model': 'model_2', 'rank': 2}]",
        (1.0, 0.0),
        24,
        None,
    ),
    Run(("--mode", "arena-hard", "--baseline", "b"), "[[A>>B]]", "[[A>B]]", (1.0, 0.0), 2 * 24, 50.0),
    Run(("--mode", "prometheus"), "[RESULT]", "Good. [RESULT] 4", (4.0,), 2 * 24, 4.0),
    Run(("--mode", "correctness"), "GRADE:", "Half of it.\n\nGRADE: P", (0.5,), 2 * 24, 50.0),
]


def judge(form: str, reply: str) -> Any:
    """Replies so where the instructions ask in that form; anything but a judge's prompt is echoed."""

    def answer(body: dict[str, Any]) -> str:
        first, last = body["messages"][0], body["messages"][-1]
        if first["role"] != "system":
            return f"Said by {body['model']} of {last['content']}"
        return reply if form in first["content"] else "I was not told how to say it."

    return answer


def test_every_mode_has_a_run() -> None:
    assert {run.options[1] for run in RUNS} == set(ASKED)


@pytest.mark.parametrize("name", ASKED)
def test_every_mode_is_whole(name: str) -> None:
    mode = MODES[name]
    assert mode.name == name and re.fullmatch(r"[a-z-]+", name)  # a folder's name, and a word on the command line
    for asking in filter(None, (mode.asking, mode.ranking)):
        prompt = files("eval").joinpath("data", asking.prompt).read_text(encoding="utf-8")
        assert "{reference_rule}" in prompt and len(asking.names) == (2 if mode.paired else 1)
        assert not mode.paired or all(one in prompt for one in asking.names)
    assert (mode.orders == "one") == (not mode.paired)
    assert mode.scale.even is None or mode.paired
    assert mode.bounds[0] <= mode.scale.lowest < mode.scale.highest <= mode.bounds[1]
    assert mode.bounds[0] <= mode.canary_limit < mode.scale.highest
    assert mode.graded or mode.verdict_range == (0.0, 1.0)
    assert mode.parse("", {}) is mode.parse("I cannot tell.", {}) is None


@pytest.mark.parametrize("run", RUNS, ids=lambda run: " ".join(run.options[1::3]))
def test_every_mode(camelid_eval: Eval, tmp_path: Path, run: Run) -> None:
    mode = MODES[run.options[1]]
    assert mode.parse(run.reply, {}) == run.verdict and len(run.verdict) == (2 if mode.paired else 1)
    with FakeOpenAI(judge(run.form, run.reply)) as server:
        two_answers(camelid_eval, server)
        before = server.bill
        status, out, err = camelid_eval("judge", *model(server), *run.options, "--audit", "0")
        assert status == 0 and f"{run.requests} of {run.requests} judgments made by fake" in out and not err
        assert camelid_eval("judge", *model(server), *run.options, "--audit", "3")[0] == 0
        assert camelid_eval("report")[0] == 0
        results = report(tmp_path)
        row = next(row for row in results.boards[0].rows if row.label == "a")
        assert row.score is not None and (run.score is None or row.score.mean == pytest.approx(run.score))
        if mode.win_needs_both:
            assert results.audits[0].contradictions == results.audits[0].both_orders == 24
        if mode.paired:
            position = results.audits[0].position
            assert position.size is not None and position.size.mean == pytest.approx(50) and position.detected
        [cost] = results.costs
        assert cost.dollars == pytest.approx(server.bill - before)
        assert results.audits[0].repeats is not None and results.audits[0].canary is not None
        sent = len(server.requests)
        assert camelid_eval("judge", *model(server), *run.options, "--audit", "3")[0] == 0
        assert len(server.requests) == sent  # all from the journal
    assert (tmp_path / "out" / "report.md").read_text().count(" | $0.") == 1


def parse_shorter(text: str, logprobs: Mapping[str, float]) -> tuple[float, float] | None:
    shares = {"A": (1.0, 0.0), "B": (0.0, 1.0), "neither": (0.5, 0.5)}
    word = find_verdict(text, [re.compile(r"\bShorter: (A|B|neither)\b")], lambda found: found[1])
    return None if word is None else shares[word]


ADDED = Mode(
    name="added",
    help="the shorter of two",
    method="two answers at a time, the shorter one named",
    asking=Asking("judge_pairwise.txt", ("Assistant A", "Assistant B"), temperature=0.0, max_tokens=64),
    parse=parse_shorter,
    verdict="winner",
    verdict_range=(0.0, 1.0),
    value=share,
    scale=WIN_RATE,
    bounds=(0.0, 100.0),
    canary_limit=10.0,
)
LENGTHS = {"a": (10, 20, 25, 40), "b": (30, 30, 30, 30)}


def shorter(body: dict[str, Any]) -> str:
    """Answers of different lengths; as a judge, names the shorter one."""
    text = body["messages"][-1]["content"]
    if body["messages"][0]["role"] != "system":
        return "x" * LENGTHS[body["model"]][int(re.findall(r"\d+", body["messages"][0]["content"])[0]) % 4]
    one, two = (
        len(found) for found in re.findall(r"Start of Assistant \w's Answer\]\n(.*?)\n\[The End", text, re.DOTALL)
    )
    return f"Shorter: {'A' if one < two else 'B' if two < one else 'neither'}"


def test_a_pair_mode_added_today_loses_nothing(
    camelid_eval: Eval, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One object in the table, and there are its columns, its row and its win rate at equal length."""
    monkeypatch.setitem(MODES, "added", ADDED)
    with FakeOpenAI(shorter) as server:
        two_answers(camelid_eval, server)
        assert camelid_eval("judge", *model(server), "--mode", "added", "--baseline", "b")[0] == 0
    assert camelid_eval("report", "--mode", "added")[0] == 0
    results = report(tmp_path)
    assert (results.mode, results.baseline) == ("added", "b")
    row = results.boards[0].rows[0]
    assert (row.label, row.wins, row.ties, row.losses) == ("a", 18, 0, 6) and row.rating is not None
    assert row.score is not None and row.score.mean == 75.0
    # What short answers won by being short is taken out; what is left is nearer to an even 50.
    assert row.length_controlled is not None and 50 <= row.length_controlled.mean < 75
    controlled = row.length_controlled.mean
    markdown = (tmp_path / "out" / "report.md").read_text()
    assert (
        "| rank | model | win rate | at equal length (single-model estimate) | rating | wins | ties | losses |"
        in markdown
    )
    page = (tmp_path / "out" / "report.html").read_text()
    assert f"<li>{ADDED.method}</li>" in page and "<th>at equal length<br>" in page
    assert (
        f'<td class="extra" data-name="at equal length" data-sort="{controlled}"><span>{controlled:.1f}%</span>' in page
    )
    assert '<td class="extra" data-name="won · tied · lost" data-sort="18">18 · 0 · 6</td>' in page
    assert "lost on the left, won on the right" in page and "How often each beats b" in page
