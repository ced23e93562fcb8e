"""Each rule drops what it is for, with its own reason, and nothing near it."""

import pytest

from selfinstruct.filters import reason_to_drop
from selfinstruct.seeds import OWN, Task, read_seeds


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


def test_our_own_seeds_are_whole_and_distinct() -> None:
    seeds = read_seeds(OWN)
    assert all(seed.instruction.strip() and seed.output.strip() for seed in seeds)
    assert len({seed.instruction for seed in seeds}) == len(seeds)
