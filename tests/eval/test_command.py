"""`camelid eval answer | judge | report` from the command line, by a server over loopback."""

import json
from functools import partialmethod
from pathlib import Path
from typing import Any

import pytest

from camelid.files.read import read_jsonl
from camelid.files.write import write_jsonl
from camelid.models.batch_api import BatchModel
from tests.eval.commands import Eval, model, report, two_answers
from tests.fake_openai import FakeOpenAI

FORMS = {"[[A]]": "[[A]]", "Rating:": "Rating: [[7]]"}


def judge(body: dict[str, Any]) -> str:
    """The first of two is better, in the form that is asked for; anything but a judge's prompt is echoed."""
    rules = body["messages"][0]["content"]
    if body["messages"][0]["role"] != "system":
        return f"Said by {body['model']} of {body['messages'][-1]['content']}"
    return next(reply for form, reply in FORMS.items() if form in rules)


def test_a_panel_and_its_agreement(camelid_eval: Eval, tmp_path: Path) -> None:
    with FakeOpenAI(judge) as server:
        two_answers(camelid_eval, server)
        for name in ("one", "two"):
            arguments = ("--model", name, "--base-url", server.url)
            assert camelid_eval("judge", "--mode", "pairwise", *arguments)[0] == 0
    assert camelid_eval("report")[0] == 0
    results = report(tmp_path)
    assert [board.judge for board in results.boards] == ["all judges", "one", "two"]
    assert results.agreements[0].same == 1.0
    assert camelid_eval("report", "--judge", "two")[0] == 0
    assert report(tmp_path).judges == ("two",)
    status, _, err = camelid_eval("report", "--judge", "tow")
    assert status == 2 and "did you mean 'two'?" in err


def test_a_wrong_key_later_loses_no_verdict(camelid_eval: Eval, tmp_path: Path) -> None:
    with FakeOpenAI(judge) as server:
        two_answers(camelid_eval, server)
        arguments = ("judge", *model(server, "--concurrency", "2"), "--audit", "0")
        status, out, err = camelid_eval(*arguments, "--max-requests", "30")
        assert status == 1 and "30 of 48 judgments" in out and "--max-requests 30 was reached" in err
        server.faults = {"401": 1.0}
        status, out, err = camelid_eval(*arguments)
        assert status == 1 and "30 of 48 judgments" in out and "authentication" in err
        assert camelid_eval("report")[0] == 1
        counts = report(tmp_path).boards[0].counts
        assert (counts.judged, counts.failed) == (30, 18)
        server.faults = {}
        sent = len(server.requests)
        assert camelid_eval(*arguments)[0] == 0 and len(server.requests) == sent + 18


def test_an_estimate_comes_first_and_is_part_of_the_run(camelid_eval: Eval) -> None:
    with FakeOpenAI(judge) as server:
        status, out, _ = camelid_eval("answer", *model(server, "--estimate"))
        assert status == 0 and "estimate for the whole run: $" in out
        two_answers(camelid_eval, server)
        before, asked = server.bill, len(server.answered)
        status, out, _ = camelid_eval("judge", *model(server, "--estimate"), "--audit", "0")
        assert status == 0 and "from 10 replies" in out
        estimate = float(out.split("whole run: $")[1].split(",")[0])
        assert camelid_eval("judge", *model(server), "--audit", "0")[0] == 0
        assert server.bill - before == pytest.approx(estimate, rel=0.15)
        assert len(server.answered) - asked == 48


def test_in_batches_at_half_the_price(camelid_eval: Eval, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BatchModel, "__init__", partialmethod(BatchModel.__init__, poll=0.02, gather=0.02))
    with FakeOpenAI(judge) as server:
        two_answers(camelid_eval, server)
        before = server.bill
        assert camelid_eval("judge", *model(server, "--batch"))[0] == 0 and server.batches
        assert camelid_eval("report")[0] == 0
        assert report(tmp_path).costs[0].dollars == pytest.approx(server.bill - before)


def test_judgments_of_other_answers_are_not_reported(camelid_eval: Eval, tmp_path: Path) -> None:
    with FakeOpenAI(judge) as server:
        two_answers(camelid_eval, server)
        assert camelid_eval("judge", *model(server), "--audit", "0")[0] == 0
        path = tmp_path / "out" / "answers" / "a.jsonl"
        rows = [record for _, record in read_jsonl(path)]
        rows[3]["choices"][0]["turns"][1] = "On second thoughts, no."
        write_jsonl(path, rows)
        status, _, err = camelid_eval("report")
        assert status == 2 and "1 judgments are of other answers or questions" in err and "question 3, a" in err
        sent = len(server.requests)
        assert camelid_eval("judge", *model(server), "--audit", "0")[0] == 0 and len(server.requests) == sent + 1
    assert camelid_eval("report")[0] == 0


def test_no_model_overwrites_anothers_answers(camelid_eval: Eval) -> None:
    with FakeOpenAI(judge) as server:
        assert camelid_eval("answer", *model(server, name="org/a"))[0] == 0
        status, _, err = camelid_eval("answer", *model(server, name="org_a"))
    assert status == 2 and "holds the answers of 'org/a'; choose another --label than 'org_a'" in err


def test_raw_replies_are_kept_and_read_anew(camelid_eval: Eval, tmp_path: Path) -> None:
    with FakeOpenAI(judge) as server:
        two_answers(camelid_eval, server)
        assert camelid_eval("judge", *model(server), "--audit", "0")[0] == 0
    path = tmp_path / "out" / "judgments" / "single" / "fake.jsonl"
    lines = [json.loads(line) | {"scores": [1.0]} for line in path.read_text().splitlines()]
    write_jsonl(path, lines)
    assert camelid_eval("report")[0] == 0
    score = report(tmp_path).boards[0].rows[0].score
    assert score is not None and score.mean == 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("answer", "--max-tokens", "0"), "--max-tokens must be at least 1"),
        (("judge", "--audit", "-1"), "--audit must be at least 0"),
        (("judge", "--ranking"), "--ranking: only with --mode alpaca"),
        (
            ("judge", "--mode", "vicuna"),
            "--model offline: it knows no verdict of this mode; use --mode single or pairwise",
        ),
        (("judge",), "answers: none there; run `camelid eval answer` first"),
        (("report",), "judgments: none there; run `camelid eval judge` first"),
    ],
)
def test_mistakes(camelid_eval: Eval, arguments: tuple[str, ...], message: str) -> None:
    status, _, err = camelid_eval(*arguments)
    assert status == 2 and message in err
