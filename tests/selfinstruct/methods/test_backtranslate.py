"""Each text becomes the output of the instruction that was written for it."""

import random
import re
from pathlib import Path

from camelid.models.llm import Failure, Reply, Request
from camelid.models.model_run import ModelRun
from selfinstruct.keep.rules import read_rules
from selfinstruct.keep.selection import Selection
from selfinstruct.methods.backtranslate import generate_backtranslate, read_prompt
from selfinstruct.run import GenerationRun
from tests.selfinstruct.teacher import words


class BackTranslator:
    """Writes an instruction of the text's first words, now and then a bad one."""

    name = "translator"

    async def complete(self, request: Request) -> Reply | Failure:
        found = re.search(r"\[Text\]\n(.*)\n\[End of text\]", request.messages[0].content, re.DOTALL)
        assert found
        rng = random.Random(found[1])
        return Reply("Describe this." if rng.random() < 0.1 else f'"Explain {words(7, rng)}."', "translator")


def make(folder: Path, texts: list[str], count: int) -> GenerationRun:
    with ModelRun(BackTranslator(), folder / "journal.jsonl", 8) as model:
        run = GenerationRun(model, Selection([], read_rules()), count)
        model.run(generate_backtranslate(run, texts, read_prompt(None, "English"), 0))
    return run


def test_a_text_is_the_answer_to_its_instruction(tmp_path: Path) -> None:
    texts = [f"{words(12, random.Random(number))}\n\n{words(9, random.Random(-number))}" for number in range(60)]
    run = make(tmp_path, texts, 40)
    assert len(run.records) == 40 and run.tasks.dropped["instruction too short or too long"] > 0
    for record in run.records:
        assert record["output"] == texts[record["request"]]
        rng = random.Random(record["output"])
        rng.random()
        assert record["instruction"] == f"Explain {words(7, rng)}."


def test_too_few_texts_are_said(tmp_path: Path) -> None:
    run = make(tmp_path, [words(12, random.Random(number)) for number in range(5)], 40)
    assert 0 < len(run.records) <= 5 and run.stopped == "5 texts gave no more"
