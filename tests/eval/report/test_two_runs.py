"""Two runs over the same questions, paired by question, with both answers and verdicts in the page."""

from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest

from camelid.app.cli import main
from eval.ask.answer import Answer
from eval.judging.judgments import Judgment
from tests.eval.known_judgments import QUESTIONS, graded, paired, said
from tests.eval.report.test_page import Page
from tests.eval.run_folders import in_words, write_questions, write_run


@pytest.fixture
def asked(tmp_path: Path) -> str:
    return write_questions(tmp_path / "asked.jsonl", QUESTIONS)


def by_question(judgments: list[Judgment], place: int = 0) -> dict[str, float]:
    return {one.question: one.scores[place] for one in judgments if one.scores}


def other_words(answers: list[Answer]) -> list[Answer]:
    return [
        replace(one, turns=(f"{one.turns[0]} Anew." if int(one.question) % 4 else one.turns[0],)) for one in answers
    ]


def test_what_changed_question_by_question(tmp_path: Path, asked: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One label in both runs, as of one recipe trained twice; every fourth answer is the same."""
    one = [in_words(replace(item, text=f"1st {item.question}")) for item in graded("m", 0)]
    two = [in_words(replace(item, text=f"2nd {item.question}")) for item in graded("m", 1, seed=1)]
    write_run(tmp_path / "first", asked, said("m"), one)
    write_run(tmp_path / "second", asked, other_words(said("m")), two)
    capsys.readouterr()
    page = tmp_path / "both.html"
    folders = [str(tmp_path / "first"), str(tmp_path / "second")]
    assert main(["eval", "compare", *folders, "--questions", asked, "--output", str(page)]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0] == "| question set | m (first) | m (second) | change | finding |"
    before, after = by_question(one), by_question(two)
    gain = fmean(after[q.id] - before[q.id] for q in QUESTIONS)
    assert table[2].startswith("| asked | ") and f"| {gain:+.2f} (" in table[2] and table[2].endswith("| up |")

    index, details = Page(page.read_text()).data()
    assert index["models"] == ["m (first)", "m (second)"] and index["compared"] == [0, 1]
    assert {one["id"]: one["scores"] for one in index["questions"]} == {
        q.id: [before[q.id], after[q.id]] for q in QUESTIONS
    }
    assert {one["id"] for one in index["questions"] if "alike" in one["issues"]} == {
        q.id for q in QUESTIONS if not int(q.id) % 4
    }
    answers = (
        {one.question: one.turns[0] for one in said("m")},
        {one.question: one.turns[0] for one in other_words(said("m"))},
    )
    for entry, detail in zip(index["questions"], details, strict=True):
        assert [answer[0] for answer in detail["answers"]] == [[side[entry["id"]]] for side in answers]
        replies = [(outcome[2], outcome[5][0][2]) for outcome in detail["outcomes"]]
        texts = [next(item.text for item in run if item.question == entry["id"]) for run in (one, two)]
        assert sorted(replies) == [([0], texts[0]), ([1], texts[1])]


def test_a_model_of_each_run_against_the_baseline_of_both(
    tmp_path: Path, asked: str, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two, three = (
        list(map(in_words, paired("alpaca", share, seed=place))) for place, share in enumerate((0.3, 0.9, 0.5))
    )
    others = [replace(item, models=("other", "y")) for item in three]
    first = write_run(tmp_path / "first", asked, said("x", "y", "other"), [*one, *others])
    changed = other_words(said("y"))
    second = write_run(tmp_path / "second", asked, [*said("x"), *changed], two)
    capsys.readouterr()
    page = tmp_path / "both.html"
    assert main(["eval", "compare", first, second, "--questions", asked]) == 2
    assert "--before: " in (err := capsys.readouterr().err) and "several models (x, other); name one" in err
    command = ["eval", "compare", first, second, "--questions", asked, "--before", "x", "--output", str(page)]
    assert main(command) == 0
    told = capsys.readouterr().out
    before, after = by_question(one), by_question(two)
    assert f"| {100 * fmean(after[q.id] - before[q.id] for q in QUESTIONS):+.2f} (" in told
    assert "The baseline y has other answers to 30 questions in the second run; the first run's are shown." in told
    index, details = Page(page.read_text()).data()
    assert index["models"] == ["x (first)", "x (second)", "y"] and index["baseline"] == "y"
    assert [detail["answers"][2][0] for detail in details] == [list(item.turns) for item in said("y")]


def test_how_the_judge_was_asked_otherwise(tmp_path: Path, asked: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A change may be the judge's: what the files say of it is told, and one run's judge is left out."""
    one = [replace(item, prompt_version="v1", parameters={"temperature": 0}) for item in map(in_words, graded("a", 0))]
    two = [replace(item, prompt_version="v2", parameters={"temperature": 0}) for item in map(in_words, graded("b", 0))]
    further = list(map(in_words, graded("b", 3, judge="k")))
    first = write_run(tmp_path / "first", asked, said("a"), one)
    cut = [replace(item, cut=(item.question == "3",)) for item in said("b")]
    second = write_run(tmp_path / "second", asked, cut, [*two, *further])
    capsys.readouterr()
    assert main(["eval", "compare", first, second, "--questions", asked]) == 0
    told = capsys.readouterr().out
    assert "a change may be the judge's (instructions: v1; then v2)." in told and "parameters" not in told
    assert "Answers that were cut off at the token limit (b: 1 of 40)." in told
    assert "Judged one of the runs only, left out: k." in told
    assert "| a | b | change |" in told and "| +0.00 (" in told  # k's three points are not in it


def test_runs_that_say_nothing_of_each_other(tmp_path: Path, asked: str, capsys: pytest.CaptureFixture[str]) -> None:
    def run(name: str, answers: list[Answer], judgments: list[Judgment]) -> str:
        return write_run(tmp_path / name, asked, answers, list(map(in_words, judgments)))

    def error(*more: str) -> str:
        capsys.readouterr()
        assert main(["eval", "compare", *more]) == 2
        return capsys.readouterr().err

    grades, other_judge = run("a", said("a"), graded("a", 0)), run("j", said("a"), graded("a", 0, judge="k"))
    free = [replace(item, baseline=None) for item in paired("pairwise", 0.5)]
    pairs, wins = run("p", said("x", "y"), free), run("w", said("x", "y"), paired("alpaca", 0.5))
    turned = [replace(item, baseline="x") for item in paired("alpaca", 0.5)]
    questions = ("--questions", asked)
    assert "judged in other modes (single, alpaca)" in error(grades, wins, *questions)
    assert "no judge judged both (j; k)" in error(grades, other_judge, *questions)
    assert "the baselines differ (y, x)" in error(wins, run("t", said("x", "y"), turned), *questions)
    assert "with those of their own run only" in error(pairs, pairs, *questions)
    assert "a is compared with itself" in error(grades, grades, *questions)
    assert "3 folders are given" in error(grades, grades, wins, *questions)
    assert "no model is called 'b'" in error(grades, run("g", said("a"), graded("a", 1)), *questions, "--after", "b")
    assert "name the two models" in error(grades, other_judge)
    assert "no report there" in error(grades, str(tmp_path / "none"), *questions)
