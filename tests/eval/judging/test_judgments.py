"""Files of judgments, ours and the published ones."""

import json
from pathlib import Path

import pytest

from camelid.errors import UserError
from camelid.files.write import write_jsonl
from eval.ask.questions import Question
from eval.judging.judgments import Judgment, alpaca_eval_shares, read_judgments
from eval.numbers.outcomes import outcomes

A = (1.0, 0.0)


def test_published_preferences_as_shares() -> None:
    """AlpacaEval: 1 is the first, 2 the second, 0 and 1.5 a draw, all else no verdict."""
    assert alpaca_eval_shares(1.25) == (0.75, 0.25)
    assert alpaca_eval_shares(1.5) == alpaca_eval_shares(0) == (0.5, 0.5)
    assert (
        alpaca_eval_shares(None)
        is alpaca_eval_shares(float("nan"))
        is alpaca_eval_shares(2.1)
        is alpaca_eval_shares(0.9)
        is None
    )


def test_our_own_file_is_read_back_and_parsed_anew(tmp_path: Path) -> None:
    judgments = [
        Judgment("pairwise", "1", 1, ("x", "y"), "j", A, "[[A]]", tokens=(10, 5), answered_by="j-1", baseline="y"),
        Judgment("alpaca", "1", 1, ("x", "y"), "j", (0.75, 0.25), "m", logprobs={"m": -0.2876821, "M": -1.3862944}),
        Judgment("single", "1", 2, ("x",), "j", None, "", failure="server: broke"),
    ]
    path = tmp_path / "j.jsonl"
    write_jsonl(path, (one.to_json() for one in judgments))
    read = read_judgments(path)
    assert read[0] == judgments[0] and read[2] == judgments[2]
    assert read[1].scores == pytest.approx((0.75, 0.25), abs=1e-6)
    record = judgments[0].to_json() | {"scores": [0.0, 1.0]}
    write_jsonl(path, [record])
    assert read_judgments(path)[0].scores == A  # the raw reply counts, not the stored verdict


def test_published_formats(tmp_path: Path) -> None:
    pair = {"question_id": 81, "model_1": "x", "model_2": "y", "g1_winner": "model_1", "g2_winner": "model_2"}
    pair |= {"judge": ["gpt-4", "pair-v2"], "g1_judgment": "So [[A]]", "g2_judgment": "So [[A]]", "turn": 1}
    path = tmp_path / "pair.jsonl"
    path.write_text(json.dumps(pair))
    [found] = outcomes(read_judgments(path))
    assert found.contradiction and found.models == ("x", "y") and found.judge == "gpt-4"
    row = {"instruction": "Say hi", "generator_1": "base", "generator_2": "m", "annotator": "w", "preference": 1.75}
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps([row]))
    [one] = read_judgments(path, [Question("q", "all", ("Say hi",))])
    assert (one.question, one.models, one.scores, one.baseline) == ("q", ("base", "m"), (0.25, 0.75), "base")
    with pytest.raises(UserError, match=r"annotations.json.*no question has the text 'Say hi'"):
        read_judgments(path)


@pytest.mark.parametrize("line", ["{}", '{"models": ["x"], "mode": "single"}', '{"judgment": "x", "model": "y"}'])
def test_what_is_no_judgment_says_where(tmp_path: Path, line: str) -> None:
    path = tmp_path / "j.jsonl"
    path.write_text(line)
    with pytest.raises(UserError, match=r"j.jsonl:1: not a judgment"):
        read_judgments(path)


def test_a_judgment_of_an_unknown_mode_is_an_error_with_its_line(tmp_path: Path) -> None:
    written = Judgment("singel", "1", 1, ("x",), "j", (7.0,), "Rating: [[7]]").to_json()
    write_jsonl(tmp_path / "j.jsonl", [written])
    with pytest.raises(
        UserError, match=r"j.jsonl.*1: not a judgment.*no mode is called 'singel'.*did you mean 'single'"
    ):
        read_judgments(tmp_path / "j.jsonl")
