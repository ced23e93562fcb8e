"""Seed files: ours, the published one, and broken ones."""

import os
from pathlib import Path

import pytest

from camelid.errors import UserError
from selfinstruct.prompt import prompt_text, requests
from selfinstruct.seeds import Task, read_seeds


@pytest.mark.skipif("CAMELID_REAL_DATA" not in os.environ, reason="CAMELID_REAL_DATA is not set")
def test_the_published_seeds_load_unchanged() -> None:
    seeds = read_seeds(Path(os.environ["CAMELID_REAL_DATA"]) / "selfinstruct" / "seed_tasks.jsonl")
    assert len(seeds) == 175
    assert sum(not seed.input for seed in seeds) == 50


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"instruction": "a", "instances": [{"input": "", "output": 3}]}', "'output' must be a string, found 3"),
        ('{"instances": [{"input": "", "output": "x"}]}', "'instruction' must be a string"),
        ('{"instruction": "a"}', "field 'instances' must be a list"),
        ('{"instruction": "a", "instances": [{"input": "", "output": "x"}]}', "at least 3 are needed"),
    ],
)
def test_broken_seeds(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "seeds.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(UserError, match=message):
        read_seeds(path)


def test_the_prompt_ends_where_the_model_goes_on() -> None:
    text = prompt_text([Task("Add\nthem:", "1, 2", "3"), Task("Say hi.", "", "Hi"), Task("c d", "", "e")])
    assert text.endswith(
        "\n###\n1. Instruction: Add them\n1. Input:\n1, 2\n1. Output:\n3"
        "\n###\n2. Instruction: Say hi.\n2. Input:\n<noinput>\n2. Output:\nHi"
        "\n###\n3. Instruction: c d\n3. Input:\n<noinput>\n3. Output:\ne\n###\n4. Instruction:"
    )
    assert "{count}" not in text and "list of 20 " in text


def test_requests_depend_on_the_seed_and_their_number_alone() -> None:
    seeds = read_seeds()

    def first(seed: int) -> list[str]:
        return [request.key("m") for request, _ in zip(requests(seeds, seed), range(30), strict=False)]

    assert first(0) == first(0) != first(1)
    assert len(set(first(0))) == 30
