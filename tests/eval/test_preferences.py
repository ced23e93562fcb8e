"""`camelid eval preferences`: people's votes as they are, judges only where both orders agree."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from camelid.app.cli import main
from camelid.files.write import write_jsonl
from conversations.preference import read_pairs

VOTES = Path(__file__).parents[1] / "written_before" / "votes"
ANSWERS = {"alpha": ("Red.", "Sure."), "beta": ("Blue.", "Sure."), "gamma": ("Red.", "No."), "delta": ("", "Hm.")}


def preferences(folder: Path, *more: str, status: int = 0) -> tuple[list[Any], dict[str, Any]]:
    output = folder.parent / "prefs.jsonl"
    assert main(["eval", "preferences", str(folder), "--output", str(output), *more]) == status
    ledger = json.loads((folder.parent / "prefs.ledger.json").read_text())["ledgers"][0]
    return list(read_pairs(output)), ledger


def evaluation(tmp_path: Path, *judgments: dict[str, Any]) -> Path:
    """A folder with two-turn answers to one question and judgments of them."""
    folder = tmp_path / "run"
    question = {"question_id": 1, "category": "x", "turns": ["Name a colour.", "Sure?"], "system": "Be brief."}
    write_jsonl(folder / "questions.jsonl", [question])
    for model, turns in ANSWERS.items():
        choices = [{"index": 0, "turns": list(turns)}]
        line = {
            "question_id": "1",
            "model_id": model,
            "choices": choices,
            "cut": [model == "beta", False],
            "failure": None,
        }
        write_jsonl(folder / "answers" / f"{model}.jsonl", [line])
    write_jsonl(folder / "judgments" / "pairwise" / "gpt.jsonl", judgments)
    return folder


def judgment(
    first: str, second: str, verdict: str, turn: int = 1, repeat: int = 0, judge: str = "gpt"
) -> dict[str, Any]:
    return {"mode": "pairwise", "question": "1", "turn": turn, "models": [first, second], "judge": judge,
            "scores": None, "text": f"[[{verdict}]]" if verdict else "?", "failure": None, "repeat": repeat,
            "logprobs": {}, "tokens": [1, 1], "answered_by": "gpt", "baseline": None}  # fmt: skip


def test_votes_of_the_chat_page_become_preferences(tmp_path: Path) -> None:
    """The folder is one that an earlier version's chat page wrote."""
    shutil.copytree(VOTES, tmp_path / "votes")
    made, ledger = preferences(tmp_path / "votes")
    assert [(one.prompt[0].content, one.chosen.content, one.rejected.content) for one in made] == [
        ("What rhymes with cat?", "Hat does.", "pppp"), ("What rhymes with hat?", "Cat does.", "qqqq"),
    ]  # fmt: skip
    assert {one.source for one in made} == {"human/vote"} and made[0].chosen.model == "tuned"
    assert ledger["dropped"] == {"tie": 1}


def test_a_vote_at_the_end_of_a_chat_keeps_its_messages(tmp_path: Path) -> None:
    shutil.copytree(VOTES, tmp_path / "votes")
    for path, old, new in (
        ("judgments/pairwise/human.jsonl", '[0.5, 0.5], "text": "[[C]]"', '[0.0, 1.0], "text": "[[B]]"'),
        ("answers/untrained.jsonl", '[""]', '["Hm."]'),
    ):
        file = tmp_path / "votes" / path
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))
    made, _ = preferences(tmp_path / "votes")
    assert [(turn.role, turn.content) for turn in made[2].prompt] == [
        ("user", "Hello."), ("assistant", "Hello!"), ("user", "Name a colour."),
    ]  # fmt: skip
    assert (made[2].chosen.content, made[2].rejected.content) == ("Sky.", "Hm.")


def test_a_judge_counts_where_both_orders_agree(tmp_path: Path) -> None:
    folder = evaluation(
        tmp_path,
        judgment("alpha", "beta", "B"), judgment("beta", "alpha", "A"), judgment("beta", "alpha", "B", repeat=1),
        judgment("constant-answer canary", "alpha", "A"), judgment("alpha", "constant-answer canary", "B"),
    )  # fmt: skip
    [made], ledger = preferences(folder)
    assert (made.chosen.content, made.rejected.content, made.source) == ("Blue.", "Red.", "ai/gpt")
    assert (made.chosen.truncated, made.rejected.truncated) == (True, False)
    assert [(turn.role, turn.content) for turn in made.prompt] == [("system", "Be brief."), ("user", "Name a colour.")]
    assert ledger["read"] == 1


@pytest.mark.parametrize(
    ("reason", "judged"),
    [
        ("verdict that changes with the order", [("alpha", "beta", "A", 1), ("beta", "alpha", "A", 1)]),
        ("verdict that changes with the order", [("alpha", "beta", "A", 1), ("beta", "alpha", "C", 1)]),
        ("tie", [("alpha", "beta", "C", 1), ("beta", "alpha", "C", 1)]),
        ("judged in one order alone", [("alpha", "beta", "A", 1)]),
        ("no verdict", [("alpha", "beta", "A", 1), ("beta", "alpha", "", 1)]),
        ("equal answers", [("alpha", "gamma", "A", 1), ("gamma", "alpha", "B", 1)]),
        ("empty answer", [("alpha", "delta", "A", 1), ("delta", "alpha", "B", 1)]),
        ("earlier answers that differ", [("alpha", "beta", "A", 2), ("beta", "alpha", "B", 2)]),
        ("no answer there", [("alpha", "omega", "A", 1), ("omega", "alpha", "B", 1)]),
    ],
)
def test_what_is_no_preference_is_counted_by_its_reason(
    tmp_path: Path, reason: str, judged: list[tuple[str, str, str, int]]
) -> None:
    good = [judgment("beta", "gamma", "A"), judgment("gamma", "beta", "B")]
    made, ledger = preferences(evaluation(tmp_path, *good, *(judgment(*one) for one in judged)))
    assert len(made) == 1 and ledger["dropped"] == {reason: 1}


def test_a_second_turn_is_compared_where_the_first_was_answered_alike(tmp_path: Path) -> None:
    folder = evaluation(tmp_path, judgment("alpha", "gamma", "B", 2), judgment("gamma", "alpha", "A", 2))
    [made], _ = preferences(folder)
    assert [turn.content for turn in made.prompt] == ["Be brief.", "Name a colour.", "Red.", "Sure?"]
    assert (made.chosen.content, made.chosen.model) == ("No.", "gamma")


def test_each_vote_of_people_is_one(tmp_path: Path) -> None:
    votes = [judgment("alpha", "beta", verdict, judge="voters") for verdict in ("A",)]
    made, _ = preferences(evaluation(tmp_path, *votes, judgment("beta", "alpha", "A", judge="voters")))
    assert [(one.chosen.model, one.source) for one in made] == [("alpha", "human/arena"), ("beta", "human/arena")]


def test_grades_alone_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = evaluation(tmp_path)
    (folder / "judgments" / "pairwise" / "gpt.jsonl").unlink()
    graded = {**judgment("alpha", "", ""), "mode": "single", "models": ["alpha"], "text": "Rating: [[8]]"}
    write_jsonl(folder / "judgments" / "single" / "gpt.jsonl", [graded])
    assert main(["eval", "preferences", str(folder), "--output", str(tmp_path / "p.jsonl")]) == 2
    assert "its judgments compare no answers; judge with --mode pairwise" in capsys.readouterr().err
