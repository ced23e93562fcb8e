"""Small evaluation files that once failed, through the commands: each gives what is true of it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from camelid.app.cli import main
from camelid.errors import UserError
from camelid.files.read import read_json
from eval.ask.answer import read_answers
from eval.ask.questions import read_questions
from eval.results import Results
from tests.fake_openai import FakeOpenAI

CASES = Path(__file__).parent / "cases"
Report = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "evaluation"


@pytest.fixture
def report(folder: Path, capsys: pytest.CaptureFixture[str]) -> Report:
    """Put cases into a folder as they are, and report it: exit status, stdout, stderr."""

    def run(questions: str, *names: str, verb: str = "report", more: tuple[str, ...] = ()) -> tuple[int, str, str]:
        folder.mkdir(exist_ok=True)
        for name in names:
            shutil.copy(CASES / name, folder / name)
        status = main(["eval", verb, "--questions", str(CASES / questions), "--output", str(folder), "--quiet", *more])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def results(folder: Path) -> Results:
    return Results.from_json(read_json(folder / "results.json"))


def scores(found: Results, board: int = 0) -> dict[str, float]:
    return {row.label: row.score.mean for row in found.boards[board].rows if row.score}


def test_an_instruction_that_ends_in_a_blank_is_found(report: Report, folder: Path) -> None:
    status, out, _ = report("ae_q.json", "ae_ann.jsonl")
    found = results(folder)
    assert status == 0 and "Read: AlpacaEval annotations (ae_ann.jsonl)." in out
    assert found.boards[0].counts.judged == 2 and scores(found) == {"mine": pytest.approx(55.0), "base": 50.0}
    assert {row.label: row.words for row in found.boards[0].rows} == {"mine": 3.0, "base": 1.5}
    assert any(row.length_controlled for row in found.boards[0].rows)
    assert "Read: AlpacaEval annotations" in found.notes[0]


def test_a_model_compared_with_itself_is_left_out(report: Report, folder: Path) -> None:
    status, _, _ = report("ae_q.json", "ae_ann.jsonl", "ae_self.jsonl")
    found = results(folder)
    assert status == 0 and scores(found) == {"mine": pytest.approx(55.0), "base": 50.0}
    assert "base compared with itself: 1 judgment left out." in found.notes


def test_a_second_judge_has_a_board_of_its_own(report: Report, folder: Path) -> None:
    status, out, _ = report("ae_q.json", "ae_ann.jsonl", "ae_other_judge.jsonl")
    found = results(folder)
    assert status == 0 and [board.judge for board in found.boards] == ["judge", "judge-0613"] and found.complete
    assert scores(found) == {"mine": pytest.approx(55.0), "base": 50.0}
    assert scores(found, 1) == {"theirs": pytest.approx(10.0), "base": 50.0}
    assert "Nothing was judged" not in out and "mine" in out
    assert any("judge-0613 judged nothing of mine" in note for note in found.notes)


def test_one_reversed_row_takes_no_other_along(report: Report, folder: Path) -> None:
    status, _, _ = report("pw_q.jsonl", "pw.jsonl")
    [board] = results(folder).boards
    row = next(row for row in board.rows if row.label == "mine")
    assert status == 0 and row.score is not None and row.score.questions == 20
    assert row.wins == 20 and board.counts.judged == board.counts.expected == 21


def test_the_judgment_of_the_present_answer_counts(report: Report, folder: Path) -> None:
    answers = folder / "answers"
    answers.mkdir(parents=True)
    (answers / "mine.jsonl").write_text('{"question_id": 7, "model_id": "mine", "choices": [{"turns": ["21"]}]}\n')
    status, _, _ = report("mt_q.jsonl", "mt_two_runs.jsonl")
    found = results(folder)
    assert status == 0 and scores(found) == {"mine": 10.0}
    assert any("1 judgment of other answers than those here" in note for note in found.notes)
    assert any("mine 10.00 and 2.00" in note for note in found.notes)


def test_without_answers_the_latest_judgment_counts(report: Report, folder: Path) -> None:
    lines = (CASES / "mt_two_runs.jsonl").read_text().splitlines()
    folder.mkdir()
    (folder / "runs.jsonl").write_text("\n".join(lines[::-1]))
    assert report("mt_q.jsonl")[0] == 0
    found = results(folder)
    assert scores(found) == {"mine": 10.0} and found.boards[0].counts.duplicate == 1
    assert any("those that count and of those left out" in note and "10.00 and 2.00" in note for note in found.notes)


def test_nested_turns_are_read_as_their_text() -> None:
    [answer] = read_answers(CASES / "ah_answers.jsonl")
    assert answer.turns == ("Because it is less dense.",) and answer.model == "nested"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("null_answers.jsonl", r"null_answers.jsonl:1: field 'choices\[0\].turns\[0\]' must be text, found None"),
        ("string_turns.jsonl", r"string_turns.jsonl:1: field 'choices\[0\].turns' must be a list of strings"),
        ("text_null.jsonl", "text_null.jsonl:1: field 'text' must be text, found None"),
    ],
)
def test_what_is_no_text_is_an_error(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_answers(CASES / name)


def test_a_reference_for_some_turns_only_is_an_error() -> None:
    with pytest.raises(UserError, match=r"ref_short.jsonl:1: .*1 of the 2 references to question '3'"):
        read_questions(CASES / "q1.jsonl", CASES / "ref_short.jsonl")


def test_two_models_are_judged_and_reported(report: Report, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The turn that is an empty text is an answer; the one that isn't there is missing."""
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    with FakeOpenAI(lambda body: "Rating: [[6]]") as server:
        options = ("--model", "fake", "--base-url", server.url, "--audit", "0")
        status, out, _ = report("q1.jsonl", "a1.jsonl", "a2.jsonl", verb="judge", more=options)
    assert status == 0 and "11 of 11 judgments" in out
    assert report("q1.jsonl")[0] == 1
    found = results(folder)
    assert scores(found) == {"large": 6.0, "small": 6.0} and found.boards[0].counts.expected == 12


def test_further_and_unasked_answers_are_counted_alike(
    report: Report, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    notes = (
        "1 further answer to the same question: the last one counts (mine, question 7).",
        "1 answer to questions that are not asked here: left out (mine, question 99).",
    )
    with FakeOpenAI(
        lambda body: "Rating: [[9]]" if "\n21\n" in str(body["messages"][-1]["content"]) else "[[1]]"
    ) as server:
        options = ("--model", "fake", "--base-url", server.url, "--audit", "0")
        status, out, _ = report("mt_q.jsonl", "dup_answers.jsonl", verb="judge", more=options)
    assert status == 0 and all(note in out for note in notes)
    status, out, _ = report("mt_q.jsonl")
    assert status == 0 and all(note in out for note in notes) and scores(results(folder)) == {"mine": 9.0}
