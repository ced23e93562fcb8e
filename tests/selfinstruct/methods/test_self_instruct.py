"""Self-Instruct in four steps, with the numbers of its reference implementation."""

import random
import re
from collections import Counter
from pathlib import Path

import pytest

from camelid.models.llm import Failure, Reply, Request
from camelid.models.model_run import ModelRun
from selfinstruct.keep.rules import read_rules
from selfinstruct.keep.selection import Selection
from selfinstruct.methods.self_instruct import (
    generate_self_instruct,
    parse_input_first,
    parse_instructions,
    parse_output_first,
)
from selfinstruct.run import GenerationRun
from selfinstruct.seeds import read_seeds
from tests.selfinstruct.teacher import words

TWO_OUTPUTS = "Example 1\nInput: a b\nOutput: one\nExample 2\nInput: a b\nOutput: two"


class Teacher:
    """Answers each step's prompt; instructions about `group` are classification tasks."""

    name = "teacher"

    def __init__(self) -> None:
        self.requests: list[Request] = []

    async def complete(self, request: Request) -> Reply | Failure:
        self.requests.append(request)
        prompt = request.messages[0].content
        rng = random.Random(request.key("teacher"))
        if prompt.startswith("Continue this list"):
            items = [f"sort {words(6, rng)} into a group." if rng.random() < 0.4 else f"explain {words(7, rng)}."
                     for _ in range(7)]  # fmt: skip
            items[3] = "describe the picture of a river"
            text = " " + "\n".join(f"{number}. {item}" for number, item in enumerate(items, start=9))[3:]
        elif "Is it classification?" in prompt:
            if request.sample % 11 == 5:
                return Failure("server", "down")
            text = "Yes" if "group" in prompt.rsplit("Task:", 1)[1] else "No"
        elif "Class label:" in prompt:
            text = f"Class label: A\n{words(4, rng)}\nClass label: B\n{words(4, rng)}"
        elif request.sample % 7 == 3:
            text = TWO_OUTPUTS
        else:
            text = f"Example 1\nInput: {words(4, rng)}\nOutput: {words(5, rng)}\n\nExample 2\nOutput: {words(5, rng)}"
        return Reply(text, "teacher")


def make(count: int, folder: Path) -> tuple[GenerationRun, Teacher]:
    seeds, teacher = read_seeds(), Teacher()
    with ModelRun(teacher, folder / "journal", 8) as model:
        run = GenerationRun(model, Selection([seed.instruction for seed in seeds], read_rules()), count)
        model.run(generate_self_instruct(run, seeds, 0))
    return run, teacher


def test_records_have_instructions_kinds_and_instances(tmp_path: Path) -> None:
    run, teacher = make(500, tmp_path)
    assert len(run.records) == 500 == run.tasks.kept and run.stopped is None
    for record in run.records:
        grouped = "group" in record["instruction"]
        assert record["is_classification"] == grouped and record["instruction"][0].isupper()
        assert (record["output"] in ("A", "B")) == grouped
    assert run.instructions
    assert run.instructions.dropped["asks for what text cannot do"] >= run.instructions.read // 8
    assert run.tasks.dropped["not known whether classification: no reply"] == run.replies.dropped["server"] > 0
    assert run.tasks.dropped["one input, several outputs"] > 0
    assert make(500, tmp_path / "again")[0].records == run.records

    prompts = [request for request in teacher.requests if request.messages[0].content.startswith("Continue")]
    shown = [re.findall(r"^\d+\. (.+)$", request.messages[0].content, re.MULTILINE) for request in prompts]
    seeds = {" ".join(seed.instruction.split()).rstrip(":") for seed in read_seeds()}
    of_seeds = Counter(sum(text in seeds for text in texts) for texts in shown)
    assert {len(texts) for texts in shown} == {8} and set(of_seeds) == {8, 6}  # 6 and 2 once there are machine tasks
    assert prompts[0].extra == {"presence_penalty": 2} and prompts[0].top_p == 0.5
    [yes_no] = {request.max_tokens for request in teacher.requests if "Is it class" in request.messages[0].content}
    assert yes_no == 3


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("Example 1\nInput: a\nOutput: b\n\nExample 2\nInput: c\nOutput: d\n", [("a", "b"), ("c", "d")]),
        ("Example 1.\nOutput: b", [("", "b")]),
        ("Just this.", [("", "Just this.")]),
        ("Input: a\nOutput: b\nInput: c\nOutput: d", [("a", "b")]),
        ("Input 1: a\nOutput 1: b", [("a", "b")]),
        ("\n".join(f"Example {number}\nOutput: {number}" for number in range(1, 9)),
         [("", str(number)) for number in range(1, 6)]),
    ],
)  # fmt: skip
def test_inputs_first(text: str, pairs: list[tuple[str, str]]) -> None:
    """As parse_input_output of the reference's prepare_for_finetuning.py decides."""
    assert parse_input_first(text, truncated=False) == pairs
    assert (
        parse_input_first(text, truncated=True) == parse_input_first(text, False)[: max(0, text.count("Example") - 1)]
    )


def test_outputs_first() -> None:
    text = "Class label: happy\nI won.\nReally.\nClass label: sad\nI lost."
    assert parse_output_first(text, False) == [("I won.\nReally.", "happy"), ("I lost.", "sad")]
    assert parse_output_first(text, True) == [("I won.\nReally.", "happy")]
    assert parse_output_first("Class label: A", False) == [("", "A")]


def test_a_numbered_list() -> None:
    assert parse_instructions(" name a\nriver\n10. sing it.\n11) Go", False) == ["Name a river", "Sing it.", "Go"]
    assert parse_instructions(" name a\n10. cut of", True) == ["Name a"]
