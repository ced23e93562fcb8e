"""Evol-Instruct: six operators, rounds, and every reason for elimination."""

import random
from collections import Counter
from itertools import pairwise
from pathlib import Path

from camelid.models.llm import Failure, Reply, Request
from camelid.models.model_run import ModelRun
from selfinstruct.keep.rules import read_rules
from selfinstruct.keep.selection import Selection
from selfinstruct.methods.evol import generate_evol
from selfinstruct.methods.evol_prompts import read_evol_prompts
from selfinstruct.run import GenerationRun
from selfinstruct.seeds import Task
from tests.selfinstruct.teacher import words


class Evolver:
    """Rewrites most tasks well and the rest badly, each in one way."""

    name = "evolver"

    async def complete(self, request: Request) -> Reply | Failure:
        prompt, rng = request.messages[0].content, random.Random(request.key("evolver"))
        if prompt.startswith("Do these two tasks"):
            return Reply("Equal." if rng.random() < 0.1 else "Not equal.", "evolver")
        if "Reply with the new task alone" in prompt:
            old = prompt.split("[Task]\n")[1].split("\n[End of task]")[0]
            bad = {0: "[Task]\n" + old, 1: "The new task: " + old}.get(rng.randrange(12))
            return Reply(bad or f"{old} {words(8, rng)}", "evolver", "length" if rng.random() < 0.05 else "stop")
        text = {0: "I am sorry, I can't.", 1: "The of and.", 2: ""}.get(rng.randrange(15), words(20, rng))
        return Failure("timeout", "late") if rng.random() < 0.05 else Reply(text, "evolver")


def make(count: int, tasks: list[Task], folder: Path, rounds: int = 4) -> GenerationRun:
    with ModelRun(Evolver(), folder / "journal", 8) as model:
        run = GenerationRun(model, Selection([], read_rules()), count)
        model.run(generate_evol(run, tasks, 0, read_evol_prompts(), rounds))
    return run


def test_instructions_grow_round_by_round(tmp_path: Path) -> None:
    tasks = [Task(f"Explain {words(6, random.Random(number))}.", "", "x") for number in range(100)]
    run = make(200, tasks, tmp_path)
    assert len(run.records) == 200 == run.tasks.kept and run.stopped is None
    assert {record["generation"] for record in run.records} >= {1, 2}
    operators = Counter(record["operator"] for record in run.records)
    assert set(operators) == set(read_evol_prompts().operators) and max(operators.values()) < 3 * min(
        operators.values()
    )
    by_place: dict[int, list[str]] = {}
    for record in run.records:
        by_place.setdefault(record["request"], [tasks[record["request"]].instruction]).append(record["instruction"])
    for chain in by_place.values():
        assert all(after.startswith(before) for before, after in pairwise(chain))
    assert run.instructions
    assert {"no more information than before", "says words of the prompt", "cut off by max_tokens"} <= set(
        run.instructions.dropped
    )
    assert {"the answer says sorry", "the answer says nothing", "no answer to the new instruction"} <= set(
        run.tasks.dropped
    )
    for ledger in run.ledgers:
        assert ledger.read == ledger.kept + ledger.dropped.total()
    assert make(200, tasks, tmp_path / "again").records == run.records


def test_when_the_rounds_are_over_the_run_says_so(tmp_path: Path) -> None:
    run = make(200, [Task("Explain the tides to a child.", "", "x"), Task("Add them up.", "1, 2", "3")], tmp_path, 2)
    assert run.stopped == "2 rounds over 2 instructions gave no more" and len(run.records) <= 4
