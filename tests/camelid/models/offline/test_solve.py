"""The embedded model answers what its families ask, with their answers, and nothing else."""

from itertools import chain
from random import Random

import pytest

from camelid.models.offline.solve import solve
from camelid.models.offline.tasks import FAMILIES, TaskFamily


@pytest.mark.parametrize("family", list(chain(*FAMILIES.values())), ids=lambda family: family.__name__)
def test_every_task_gets_the_answer_of_its_family(family: TaskFamily) -> None:
    for seed in range(12):
        instruction, text, output = family(Random(f"solve {seed}"))
        assert solve("\n\n".join(filter(None, (instruction, text)))) == output, instruction


@pytest.mark.parametrize(
    "text",
    [
        "What is the meaning of life?",
        "",
        "What is the capital of Atlantis?",
        "Jack found 18 buckets, while Rosa found. Who found more?",
        "Whom did David meet at the beach?",  # its input is missing
        "What is the capital of France?\n\nAnswer in verse.",
        "Sort these animals alphabetically: " + ", ".join(["cat", "dog", "fox", "owl"] * 20) + ".",
    ],
)
def test_what_no_family_asks_has_no_answer(text: str) -> None:
    assert solve(text) is None
