"""Each rule drops what it is for, with its own reason, and nothing near it."""

from pathlib import Path

import pytest

from camelid.errors import UserError
from selfinstruct.keep.rules import read_rules, reason_to_drop_answer
from selfinstruct.seeds import Task


def reason_to_drop(task: Task) -> str | None:
    return read_rules().reason_to_drop(task.instruction) or reason_to_drop_answer(task)


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        (Task("Add these numbers", "", "3"), "instruction too short or too long"),
        (Task("word " * 151, "", "3"), "instruction too short or too long"),
        (Task("Describe the picture of a cat.", "", "x"), "asks for what text cannot do"),
        (Task("Write a program that sorts numbers.", "", "x"), "asks for a program"),
        (
            Task('"Quoted" is which word class?', "", "x"),
            "instruction begins with punctuation or a non-ASCII character",
        ),
        (
            Task("Überlege dir drei gute Namen.", "", "x"),
            "instruction begins with punctuation or a non-ASCII character",
        ),
        (Task("Name three rivers in Africa.", "", ""), "output empty"),
        (Task("Name three rivers in Africa.", "", "<No output>"), "output says that there is none"),
        (Task("Name three rivers in Africa.", "", "Nile\nInstruction: Add"), "two tasks run together"),
        (Task("Name three rivers in Africa.", "", "Nile\n5. Instruction: Add"), "two tasks run together"),
        (Task("Correct the spelling mistakes here.", "helo", "helo"), "output repeats the input"),
        (Task("Recommend a good news site.", "", "See https://a.example"), "output has a URL that was not given"),
    ],
)
def test_reasons(task: Task, reason: str) -> None:
    assert reason_to_drop(task) == reason


@pytest.mark.parametrize(
    "task",
    [
        Task("Sum up the paragraph.", "x", "y"),
        Task("Imagine you are a mapmaker; introduce yourself.", "", "Hi"),
        Task("What does this link point to?", "https://a.example", "https://a.example is a test domain."),
        Task("word " * 150, "", "x"),
    ],
)
def test_good_tasks_pass(task: Task) -> None:
    assert reason_to_drop(task) is None


@pytest.mark.parametrize(
    ("instruction", "reason"),
    [
        ("请写一首关于春天的短诗。", None),
        ("写诗", "instruction too short or too long"),
        ("请描述这张图片里的动物。", "asks for what text cannot do"),
        ("写一个程序来排序数字。", "asks for a program"),
    ],
)
def test_rules_for_a_script_without_spaces(instruction: str, reason: str | None) -> None:
    assert read_rules("zh").reason_to_drop(instruction) == reason


def test_rules_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "de.yaml"
    path.write_text("language: German\nfewest_words: 2\nmost_words: 9\nkeywords: [Bild]\nbeginnings: [Schreibe ein]\n")
    rules = read_rules(str(path))
    assert rules.reason_to_drop("Überlege dir Namen.") is None
    assert rules.reason_to_drop("Beschreibe das Bild.") == "asks for what text cannot do"
    assert rules.reason_to_drop("Wie entstehen Bilder?") is None
    path.write_text("language: German\nfewest_words: 5\nmost_words: 2\n")
    with pytest.raises(UserError, match="fewest_words = 5 must be"):
        read_rules(str(path))
    with pytest.raises(UserError, match="no such file"):
        read_rules("xx")
