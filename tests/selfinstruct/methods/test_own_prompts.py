"""Prompts of the user's own take the place of a method's, and a file that cannot is named."""

import json
import random
from pathlib import Path

import pytest

from camelid.errors import UserError
from camelid.files.read import read_json, read_jsonl
from camelid.models.llm import Failure, Reply, Request
from tests.selfinstruct.methods.test_backtranslate import BackTranslator
from tests.selfinstruct.methods.test_evol import Evolver
from tests.selfinstruct.teacher import words
from tests.selfinstruct.test_answers import run

OWN = """
operators:
  shorten: Ask for the same in fewer words, {keep} braces.
evolve: "{operator} Reply with the new task alone.\\n[Task]\\n{task}\\n[End of task]"
equal: "Do these two tasks agree? {first} / {second}"
"""


def test_the_prompts_of_evol_are_replaced(tmp_path: Path) -> None:
    asked: list[str] = []

    class Listening(Evolver):
        async def complete(self, request: Request) -> Reply | Failure:
            asked.append(request.messages[0].content)
            return await super().complete(request)

    own, before = tmp_path / "own.yaml", tmp_path / "before.jsonl"
    own.write_text(OWN)
    tasks = [f"Explain how the {word} works, {{first}}." for word in ("tide", "moon", "clock", "engine", "market")]
    before.write_text("".join(json.dumps({"instruction": task}) + "\n" for task in tasks))
    given = ("--method", "evol", "--instructions", before, "--prompt", own)
    run(Listening(), tmp_path, *given, "--count", 5)
    assert {record["operator"] for _, record in read_jsonl(tmp_path / "r.jsonl")} == {"shorten"}
    assert f"Ask for the same in fewer words, {{keep}} braces. Reply with the new task alone.\n[Task]\n{tasks[0]}" in (
        asked[0].removesuffix("\n[End of task]")
    )
    assert any(text.startswith(f"Do these two tasks agree? {tasks[0]} / ") for text in asked)
    assert len(read_json(tmp_path / "r.ledger.json")["asked"]["prompt"]) == 64


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (OWN.replace("{task}", "it"), r"own\.yaml: evolve: must hold \{task\}; selfinstruct/data/evol\.yaml"),
        (OWN.replace("{second}", ""), r"own\.yaml: equal: must hold \{second\}"),
        (OWN.replace("operators:\n  shorten: Ask", "operators: {}\nbounds: Ask"), "name at least one way"),
        (OWN.replace("shorten: Ask", "shorten: 7 #"), "'shorten' and what it says must be strings, found 7"),
        (OWN.replace("evolve", "evolves"), "unknown key 'evolves'; did you mean 'evolve'"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(text: str, wrong: str, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(text)
    (tmp_path / "before.jsonl").write_text('{"instruction": "Explain how the tide works."}\n')
    given = ("--method", "evol", "--instructions", tmp_path / "before.jsonl", "--prompt", tmp_path / "own.yaml")
    with pytest.raises(UserError, match=wrong):
        run(Evolver(), tmp_path, *given)
    assert not (tmp_path / "r.jsonl").exists()


def test_the_prompt_of_back_translation_is_replaced(tmp_path: Path) -> None:
    asked: list[str] = []

    class Listening(BackTranslator):
        async def complete(self, request: Request) -> Reply | Failure:
            asked.append(request.messages[0].content)
            return await super().complete(request)

    texts = [f"{words(12, random.Random(number))} {{language}}" for number in range(9)]
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    own = tmp_path / "own.txt"
    own.write_text("Who asked for this, in {language}?\n[Text]\n{text}\n[End of text]\n")
    given = ("--method", "backtranslate", "--texts", tmp_path / "texts.jsonl", "--prompt", own)
    run(Listening(), tmp_path, *given)
    assert sorted(asked) == sorted(f"Who asked for this, in English?\n[Text]\n{text}\n[End of text]" for text in texts)
    own.write_text("Who asked for this?")
    with pytest.raises(UserError, match=r"own\.txt: must hold \{text\}; selfinstruct/data/backtranslate\.txt"):
        run(Listening(), tmp_path / "other", *given)
