"""Answers apart from their tasks: by another model, longer, the best of several; by the command."""

import argparse
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from camelid.app.cli import main
from camelid.app.command_line import CommandParser
from camelid.app.open_model import add_model_arguments
from camelid.errors import UserError
from camelid.files.read import read_json, read_jsonl
from camelid.models.llm import Failure, Reply, Request
from camelid.models.model_run import ModelRun
from conversations.formats.readers import read_conversations
from selfinstruct import command
from tests.selfinstruct.methods.test_evol import Evolver
from tests.selfinstruct.methods.test_magpie import Chatter
from tests.selfinstruct.methods.test_table import Asked, Grader, Lister, score
from tests.selfinstruct.teacher import words

COUNT = 200


class Strong:
    """Answers at some length; now and then cut off, empty, or not at all."""

    name = "strong"

    async def complete(self, request: Request) -> Reply | Failure:
        rng = random.Random(request.key("strong"))
        fault = rng.random()
        if fault < 0.05:
            return Failure("server", "down")
        text = "" if fault < 0.1 else words(60, rng)
        return Reply(text, "strong-1", "length" if fault > 0.95 else "stop")


def generate(folder: Path, *more: object) -> tuple[Path, dict[str, Asked]]:
    models = {"m": Asked(Lister()), "strong": Asked(Strong()), "grader": Asked(Grader())}

    def open_model(args: argparse.Namespace, journal: Any) -> ModelRun:
        return ModelRun(models[args.model], journal, 8, None, None, args.max_requests)

    parser = CommandParser()
    command.register(parser.add_subparsers(), open_model, add_model_arguments)
    line = ["selfinstruct", "generate", "--model", "m", "--quiet", "--count", COUNT, "--output", folder / "r.jsonl"]
    args = parser.parse_args([*map(str, line), *map(str, more)])
    args.run(args)
    return folder / "r.jsonl", models


def run(llm: Any, folder: Path, *more: object) -> int:
    """Run the command with one model for all; return its status."""
    parser = CommandParser()
    command.register(parser.add_subparsers(), lambda _, journal: ModelRun(llm, journal, 8), add_model_arguments)
    line = ["selfinstruct", "generate", "--model", "m", "--quiet", "--count", 9, "--output", folder / "r.jsonl", *more]
    args = parser.parse_args([*map(str, line)])
    status: int = args.run(args)
    return status


BEST_OF_3 = ("--answer-model", "strong", "--answers", 3, "--answer-tokens", 900, "--quality-model", "grader")


def prompt_of(record: dict[str, Any], output: str) -> str:
    quality = (Path(command.__file__).parent / "data" / "quality.txt").read_text(encoding="utf-8").strip()
    return quality.format(instruction=record["instruction"], input=record["input"] or "(none)", output=output)


def test_the_best_of_several_is_taken_and_all_are_kept(tmp_path: Path) -> None:
    output, models = generate(tmp_path, *BEST_OF_3)
    records = [record for _, record in read_jsonl(output)]
    candidates = {
        line["prompt"][0]["content"]: line["answers"] for _, line in read_jsonl(tmp_path / "r.candidates.jsonl")
    }
    assert len(records) == COUNT and {record["model"] for record in records} == {"strong"}
    for record in records:
        answers = candidates["\n\n".join(filter(None, (record["instruction"], record["input"])))]
        whole = [answer for answer in answers if answer["content"] and answer["finish_reason"] == "stop"]
        assert all(answer["scores"]["quality"] == score(prompt_of(record, answer["content"])) for answer in whole)
        best = max(answer["scores"]["quality"] for answer in whole)
        assert record["output"] == next(a["content"] for a in whole if a["scores"]["quality"] == best) and best == 5
        assert {answer["model"] for answer in answers} == {"strong-1"} and len(answers) <= 3
        assert {answer["temperature"] for answer in answers} == {1.0}
    assert max(Counter(record["instruction"] for record in records).values()) == 1
    for asked in models.values():
        assert max(asked.asked.values()) == 1
    dropped = read_json(tmp_path / "r.ledger.json")["ledgers"][-1]["dropped"]
    assert dropped["quality below 4.5"] > 0 and dropped["too similar to one before"] > 0
    assert main(["selfinstruct", "card", str(output), "--output", str(tmp_path / "card")]) == 0
    assert "| by strong, the best of 3, up to 900 tokens |" in (tmp_path / "card" / "README.md").read_text()


def test_a_run_goes_on_and_is_the_same(tmp_path: Path) -> None:
    (tmp_path / "straight").mkdir()
    given = (*BEST_OF_3, "--count", 60)
    straight, _ = generate(tmp_path / "straight", *given)
    generate(tmp_path, *given, "--max-requests", 150)
    facts = read_json(tmp_path / "r.ledger.json")
    assert not facts["complete"] and "--max-requests" in facts["stopped"]
    output, _ = generate(tmp_path, *given)
    assert output.read_bytes() == straight.read_bytes()
    name = "r.candidates.jsonl"
    assert (tmp_path / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()
    output.unlink()
    _, again = generate(tmp_path, *given)
    assert output.read_bytes() == straight.read_bytes() and not any(asked.asked for asked in again.values())


@pytest.mark.parametrize(("method", "teacher"), [("magpie", Chatter), ("evol", Evolver)])
def test_a_method_that_answers_apart_by_itself_leaves_it_to_others(method: str, teacher: Any, tmp_path: Path) -> None:
    class Both:
        name = "m"
        plain = 0

        async def complete(self, request: Request) -> Reply | Failure:
            if request.max_tokens == 77:
                self.plain += 1
                return Reply(words(60, random.Random(request.key("m"))), "m")
            result: Reply | Failure = await teacher().complete(request)
            return result

    both, given = Both(), ["--method", method, "--answer-tokens", 77, "--count", 30]
    if method == "evol":
        tasks = [{"instruction": f"Explain {words(6, random.Random(number))}."} for number in range(100)]
        (tmp_path / "before.json").write_text(json.dumps(tasks))
        given += ["--instructions", tmp_path / "before.json"]
    assert run(both, tmp_path, *given) == 0
    records = [record for _, record in read_jsonl(tmp_path / "r.jsonl")]
    assert len(records) == 30 <= both.plain and all(len(record["output"].split()) == 60 for record in records)


def test_training_sees_every_turn(tmp_path: Path) -> None:
    assert run(Chatter(), tmp_path, "--method", "magpie", "--turns", 2, "--count", 10) == 0
    records = [record for _, record in read_jsonl(tmp_path / "r.jsonl")]
    chats = list(read_conversations(tmp_path / "r.conversations.jsonl"))
    assert [[message.to_json() for message in chat.messages] for chat in chats] == [r["messages"] for r in records]
    assert all(len(chat.messages) == 4 for chat in chats)


def test_longer_answers_by_the_teacher_itself(tmp_path: Path) -> None:
    sizes: list[int | None] = []

    class Both(Lister):
        async def complete(self, request: Request) -> Reply | Failure:
            if request.extra:
                return await super().complete(request)
            sizes.append(request.max_tokens)
            return Reply(words(300, random.Random(request.key("m"))), "m")

    assert run(Both(), tmp_path, "--count", 20, "--answer-tokens", 4000) == 0 and set(sizes) == {4000}
    assert all(len(record["output"].split()) == 300 for _, record in read_jsonl(tmp_path / "r.jsonl"))


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        (("--answers", 3), "somebody must choose; add --quality-model"),
        (("--answers", 0), "--answers must be at least 1"),
        (("--answer-model", "offline"), "the embedded model can answer its own tasks alone"),
        (("--turns", 2), "--turns: at least 1; more only with --method magpie"),
        (("--method", "magpie", "--prompt", "x"), "only with --method alpaca"),
        (("--texts", "x"), "--method backtranslate and --texts FILE go together"),
    ],
)
def test_options_that_do_not_go_together(options: tuple[object, ...], wrong: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=wrong):
        generate(tmp_path, *options)


def test_a_prompt_and_personas_of_ones_own(tmp_path: Path) -> None:
    prompt, personas = tmp_path / "prompt.txt", tmp_path / "personas.jsonl"
    prompt.write_text("Write {count} tasks about bees in {language}.")
    personas.write_text(json.dumps({"persona": "A beekeeper in Graz."}) + "\n\nA botanist.\n")
    said: list[str] = []

    class Listening(Lister):
        async def complete(self, request: Request) -> Reply | Failure:
            said.append(request.messages[0].content)
            return await super().complete(request)

    given = ("--prompt", prompt, "--persona", personas)
    assert run(Listening(), tmp_path, "--count", 60, *given) == 0
    assert all(text.startswith("Write 20 tasks about bees in English.") for text in said)
    for persona in ("A beekeeper in Graz.", "A botanist."):
        assert sum(persona in text for text in said) >= len(said) // 2
    asked = read_json(tmp_path / "r.ledger.json")["asked"]
    assert len(asked["prompt"]) == len(asked["persona"]) == 64
    prompt.write_text("Write tasks.")
    with pytest.raises(UserError, match="must say how many tasks"):
        run(Listening(), tmp_path / "other", *given)


def test_a_quality_prompt_and_patience_of_ones_own(tmp_path: Path) -> None:
    prompt, said = tmp_path / "quality.txt", list[str]()
    prompt.write_text("Only {braces} stay. {instruction}|{input}|{output}\nEnd with Score: [[3]]")

    class Harsh(Lister):
        async def complete(self, request: Request) -> Reply | Failure:
            if request.extra:
                return await super().complete(request)
            said.append(request.messages[0].content)
            return Reply(f"Score: [[{len(said) % 2}]]", "m")

    given = ("--quality-model", "m", "--quality-prompt", prompt, "--patience", 3)
    assert run(Harsh(), tmp_path, *given) == 1
    assert all(text.startswith("Only {braces} stay. ") and text.count("|") == 2 for text in said)
    assert read_json(tmp_path / "r.ledger.json")["stopped"].startswith("3 replies in a row")
    prompt.write_text("Is {instruction} good?")
    with pytest.raises(UserError, match=r"must hold \{output\}"):
        run(Harsh(), tmp_path / "other", *given)
