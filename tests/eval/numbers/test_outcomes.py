"""Both orders, duplicates and several judges come together by stated rules."""

import json
from pathlib import Path

import pytest

from camelid.errors import UserError
from camelid.files.write import write_jsonl
from eval.ask.questions import Question
from eval.judging.judgments import Judgment, read_judgments
from eval.numbers.outcomes import all_judges, count_orders, outcomes, without_duplicates

A, B, TIE = (1.0, 0.0), (0.0, 1.0), (0.5, 0.5)
Scores = tuple[float, ...] | None


def both(first: Scores, second: Scores, mode: str = "pairwise", judge: str = "j") -> list[Judgment]:
    """x shown first and then y shown first; each scored in the order of showing."""
    return [
        Judgment(mode, "1", 1, ("x", "y"), judge, first, ""),
        Judgment(mode, "1", 1, ("y", "x"), judge, second, ""),
    ]


@pytest.mark.parametrize(
    ("first", "second", "scores", "contradiction"),
    [
        (A, B, (1.0, 0.0), False),  # x both times
        (B, A, (0.0, 1.0), False),
        (A, A, (0.5, 0.5), True),  # whoever comes first
        (A, TIE, (0.5, 0.5), True),
        (TIE, TIE, (0.5, 0.5), False),
        (A, None, None, False),
        (None, None, None, False),
    ],
)
def test_a_win_needs_both_orders(first: Scores, second: Scores, scores: Scores, contradiction: bool) -> None:
    complete = [Judgment("pairwise", "2", 1, models, "j", A, "") for models in (("x", "y"), ("y", "x"))]
    found = outcomes([*both(first, second), *complete])[0]
    assert (found.models, found.scores, found.contradiction) == (("x", "y"), scores, contradiction)
    assert [one.models for one in found.judgments] == [("x", "y"), ("y", "x")]


def test_grades_are_averaged() -> None:
    [found] = outcomes(both((8.0, 6.0), (7.0, 9.0), "vicuna"))
    assert found.scores == (8.5, 6.5) and not found.contradiction
    [found] = outcomes(both((8.0, 6.0), (9.0, 7.0), "vicuna"), baseline="x")
    assert found.models == ("y", "x") and found.scores == (7.5, 7.5) and found.contradiction


def test_one_order_is_enough_where_none_was_judged_in_both() -> None:
    one = both(A, None)[:1]
    assert count_orders(one) == 1 and outcomes(one)[0].scores == A


def test_the_first_duplicate_with_a_verdict_counts() -> None:
    judgments = [
        Judgment("single", "1", 1, ("x",), "j", None, "", failure="timeout: slow"),
        Judgment("single", "1", 1, ("x",), "j", (7.0,), "Rating: [[7]]"),
        Judgment("single", "1", 1, ("x",), "j", (9.0,), "Rating: [[9]]"),
        Judgment("single", "1", 2, ("x",), "j", (5.0,), "Rating: [[5]]"),
        Judgment("single", "1", 1, ("x",), "other", (3.0,), "Rating: [[3]]"),
        Judgment("single", "1", 1, ("x",), "j", (6.0,), "Rating: [[6]]", repeat=1),
    ]
    kept, duplicates = without_duplicates(judgments)
    assert [one.scores for one in kept] == [(7.0,), (5.0,), (3.0,), (6.0,)]
    assert [one.scores for one in duplicates] == [None, (9.0,)]
    assert without_duplicates(kept) == (kept, [])


def test_a_panel_needs_all_its_judges() -> None:
    found = outcomes([*both(A, B), *both(B, A, judge="k")])
    [merged] = all_judges(found, ["j", "k"], "all")
    assert merged.scores == (0.5, 0.5) and merged.judge == "all" and len(merged.judgments) == 4
    assert all_judges(found, ["j", "k", "l"], "all")[0].scores is None


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


def test_a_judgment_of_an_unknown_mode_is_an_error_with_its_line(tmp_path: Path) -> None:
    written = Judgment("singel", "1", 1, ("x",), "j", (7.0,), "Rating: [[7]]").to_json()
    write_jsonl(tmp_path / "j.jsonl", [written])
    with pytest.raises(
        UserError, match=r"j.jsonl.*1: not a judgment.*no mode is called 'singel'.*did you mean 'single'"
    ):
        read_judgments(tmp_path / "j.jsonl")


@pytest.mark.parametrize("line", ["{}", '{"models": ["x"], "mode": "single"}', '{"judgment": "x", "model": "y"}'])
def test_what_is_no_judgment_says_where(tmp_path: Path, line: str) -> None:
    path = tmp_path / "j.jsonl"
    path.write_text(line)
    with pytest.raises(UserError, match=r"j.jsonl:1: not a judgment"):
        read_judgments(path)
