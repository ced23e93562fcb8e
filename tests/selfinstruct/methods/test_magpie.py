"""A chat model's own user turns become instructions, its answers outputs; several turns become a conversation."""

import random
from pathlib import Path

from camelid.message import Message
from camelid.models.llm import Failure, Reply, Request
from camelid.models.model_run import ModelRun
from selfinstruct.keep.rules import read_rules
from selfinstruct.keep.selection import Selection
from selfinstruct.methods.magpie import OPEN_TURN, generate_magpie
from selfinstruct.run import GenerationRun
from tests.selfinstruct.teacher import words


class Chatter:
    """Completes open turns of the user and answers closed ones, some of both badly."""

    name = "chatter"

    def __init__(self) -> None:
        self.requests: list[Request] = []

    async def complete(self, request: Request) -> Reply | Failure:
        self.requests.append(request)
        rng = random.Random(request.key("chatter"))
        if request.extra == OPEN_TURN:
            assert request.messages[-1] == Message("user", "")
            text = rng.choice([f"Explain {words(6, rng)}?", f"List {words(7, rng)}.", f"Say {words(8, rng)}.", "Hi"])
            return Reply(text, "chatter", "length" if rng.random() < 0.05 else "stop")
        assert request.messages[-1].role == "user" and request.messages[-1].content
        return Reply("" if rng.random() < 0.1 else words(20, rng), "chatter")


def make(folder: Path, count: int, turns: int) -> tuple[GenerationRun, Chatter]:
    chatter = Chatter()
    with ModelRun(chatter, folder / "journal.jsonl", 8) as model:
        run = GenerationRun(model, Selection([], read_rules()), count)
        model.run(generate_magpie(run, 0, turns))
    return run, chatter


def test_what_was_asked_is_what_is_recorded(tmp_path: Path) -> None:
    run, chatter = make(tmp_path, 40, 1)
    assert len(run.records) == 40 and run.stopped is None
    answered = {
        request.messages[0].content: words(20, rng)
        for request in chatter.requests
        if request.extra != OPEN_TURN and (rng := random.Random(request.key("chatter"))).random() >= 0.1
    }
    for record in run.records:
        assert record["output"] == answered[record["instruction"]] and "messages" not in record
    assert run.instructions and run.instructions.dropped["cut off by max_tokens"] > 0
    assert run.instructions.dropped["instruction too short or too long"] > 0 and run.tasks.dropped["output empty"] > 0


def test_turns_alternate_and_each_follows_from_those_before(tmp_path: Path) -> None:
    run, chatter = make(tmp_path, 20, 3)
    asked = {request.messages for request in chatter.requests if request.extra == OPEN_TURN}
    for record in run.records:
        messages = [Message(turn["role"], turn["content"]) for turn in record["messages"]]
        assert [message.role for message in messages] == ["user", "assistant"] * 3
        assert [record["instruction"], record["output"]] == [message.content for message in messages[:2]]
        assert (*messages[:4], Message("user", "")) in asked
