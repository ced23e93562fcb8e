"""The embedded model: deterministic, honest, and it reads the prompts that the other rooms write."""

import asyncio
from importlib.resources import files

import pytest

from camelid.message import Message
from camelid.models.llm import Reply, Request, Usage
from camelid.models.offline.model import HONEST, Offline
from camelid.text.words import unicode_tokens
from eval.ask.questions import Question
from eval.judging import prompts
from eval.judging.modes.single import SINGLE
from selfinstruct.methods.alpaca import TASKS_A_REPLY, ReplyFormatName, find_form
from selfinstruct.seeds import read_seeds


def complete(*messages: Message) -> str:
    reply = asyncio.run(Offline().complete(Request(messages)))
    assert isinstance(reply, Reply) and reply.model == "offline"
    return reply.text


@pytest.mark.parametrize("name", ["text", "json"])
def test_it_answers_the_generators_prompt_with_whole_tasks(name: ReplyFormatName) -> None:
    form = find_form(name).open(read_seeds(), 0, "English")
    for _, request in zip(range(20), form.requests, strict=False):
        reply = asyncio.run(Offline().complete(request))
        again = asyncio.run(Offline().complete(request))
        assert isinstance(reply, Reply) and reply == again
        parsed = form.parse(reply)
        assert len(parsed.tasks) == TASKS_A_REPLY and not parsed.drops


def test_the_judge_reads_the_prompt_that_eval_writes() -> None:
    question = Question("1", "words", ("What is the opposite of hot?",), ("The opposite of hot is cold.",))
    grades = {}
    for answer in ("The opposite of hot is cold.", "The opposite of hot is warm.", "I like trains"):
        text = complete(*prompts.judge_prompt(SINGLE.asking, question, [(answer,)], 0))
        grades[answer] = SINGLE.parse(text, {})
    assert list(grades.values()) == [(10,), (9,), (1,)]  # 1 + 9 x F, rounded; F = 1, 5/6, 0


def test_words_of_every_script_are_its_tokens() -> None:
    asked = Request((Message("user", "请写一首诗。"), Message("user", "In English, please.")))
    reply = asyncio.run(Offline().complete(asked))
    assert isinstance(reply, Reply) and reply.usage == Usage(5 + 3, len(unicode_tokens(HONEST)))


def test_anything_else_gets_an_honest_refusal() -> None:
    assert complete(Message("user", "What is the meaning of life?")) == HONEST


def test_its_own_task_is_answered_for_data_but_not_in_an_evaluation() -> None:
    question = (Message("user", "What is the capital of France?"),)
    answers = [asyncio.run(Offline().complete(request)) for request in (Request(question, seed=0), Request(question))]
    assert [getattr(answer, "text", "") for answer in answers] == ["The capital of France is Paris.", HONEST]


def test_it_scores_a_record_of_its_own_by_the_right_answer() -> None:
    prompt = (files("selfinstruct") / "data" / "quality.txt").read_text(encoding="utf-8")
    right, asked = "They met on Monday.", "On which day were Grace and David together?"
    scores = {}
    for output in (right, "They met", "I like trains"):
        given = {"instruction": asked, "input": "On Monday Grace met David at the forest.", "output": output}
        scores[output] = complete(Message("user", prompt.format(**given))).rpartition("\n")[2]
    assert list(scores.values()) == ["Score: [[5.0]]", "Score: [[3.3]]", "Score: [[0.0]]"]  # 5 x F; F = 1, 2/3, 0
    strange = prompt.format(instruction="What is the meaning of life?", input="(none)", output="42")
    assert complete(Message("user", strange)) == HONEST
