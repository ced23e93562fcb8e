"""Each rule drops what it is for, with its own reason, and nothing near it."""

from pathlib import Path

import pytest

from camelid.errors import UserError
from selfinstruct.keep.leftovers import without_no_input
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
        (
            Task("Find an article on tides.", "", "[Here](https://made.up/tides) it is."),
            "output has a URL that was not given",
        ),
        (Task("Sum up this article.", "https://a.example/x", "It is about x."), "input is only a link"),
        (Task("What does the web page say?", "Link: <www.a.example>", "Much."), "input is only a link"),
        (
            Task("Say what the animal does.", "[Image of a cat]", "It sleeps."),
            "input is a picture or file that is not there",
        ),
        (Task("Say what the animal does.", "cat.jpg", "It sleeps."), "input is a picture or file that is not there"),
        (Task("Say what they do.", "See attached photo.", "Sleep."), "input is a picture or file that is not there"),
        (Task("Say what they do.", "![pets](pets.png)", "Sleep."), "input is a picture or file that is not there"),
        (Task("List what to pack.", "", "1. Socks\n2. Shoes\n3."), "output cut off"),
        (Task("Print a list in Python.", "", "```python\nprint([1, 2"), "output cut off"),
        (Task("Tell me about your weekend.", "", "As an AI language model, I do not have weekends."), "output refuses"),
        (Task("Name the depth of a lake.", "Como", "I\u2019m sorry, but I can\u2019t access that."), "output refuses"),
        (Task("Sum up the song here.", "", "I'm sorry, you didn't provide a song."), "output refuses"),
        (Task("Name three rivers in Africa.", "", "Nile\n\n### Instruction:\nAdd"), "two tasks run together"),
        (Task("Name three rivers in Africa.", "", "Nile\n**Instruction:** Add"), "two tasks run together"),
        (Task("Name three rivers in Africa.", "", "Nile\nTask 5. Instruction: Add"), "two tasks run together"),
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
        Task(
            "Sort these numbers in Python.", "3 1", "```python\nprint(sorted([3, 1]))\n```\nOutput:\n```\n[1, 3]\n```"
        ),
        Task("Describe how computers work.", "", "In steps:\n1. Input: data come in.\n2. Output: data go out."),
        Task("Write an instruction and its answer.", "", "Instruction: Add 1 and 2.\nAnswer: 3"),
        Task("Call the server in Python.", "", "Run it at http://localhost:8000/v1 or http://example.com/v1."),
        Task("Fetch the weather in JavaScript.", "", "fetch('https://api.weather.invalid/now') does it."),
        Task("Write HTML with a photo.", "", '<img src="https://made.up/x.png">'),
        Task("How do I install numpy?", "", "Run pip; see https://numpy.org/install and https://docs.numpy.org."),
        Task("Give the domain of this URL.", "https://docs.a.example/x", "a.example"),
        Task("Is this sentence in the passive voice?", "The image of the cat was attached to the door.", "Yes, it is."),
        Task("Write an excuse for not coming.", "", "I'm sorry, but I'm unable to come into work today."),
        Task("Say it in numbers.", "", "Two and two are\n4"),
        Task("Name the element here.", "Na", "Sodium"),
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


@pytest.mark.parametrize(
    "text",
    [
        "No input", "noinput", "<noinput>", "`<noinput>`", "< no input >", "No Input Required.", "(no input needed)",
        "N/A", "n.a.",
        "NA", "None", "None required.", "Not applicable", "Input not required", "No additional input is needed.",
        "No context provided", "[empty]", "<null>", "Keine Eingabe", "无", "无输入", "Not provided", " no input \n",
    ],
)  # fmt: skip
def test_words_for_no_input(text: str) -> None:
    assert without_no_input(text) == ""


@pytest.mark.parametrize(
    "text", ["Na", "null", "Nothing", "No inputs were harmed.", "None of us is perfect.", "0", "-5"]
)
def test_inputs_that_are_some(text: str) -> None:
    assert without_no_input(text) == text
