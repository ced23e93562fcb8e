"""Answers: turn by turn, at the category's temperature, and failures stay typed."""

import asyncio
from typing import Any

from camelid.llm import Failure, Reply, Request
from eval.answer import Answer, answer_all
from eval.questions import Question

QUESTIONS = [
    Question("1", "math", ("1+1?", "And 2+2?"), ("2", "4")),
    Question("2", "writing", ("Write.",)),
    Question("3", "writing", ("Sing.",)),
]


class Scripted:
    """Answers by a function of the last message; keeps what it was asked."""

    name = "scripted"

    def __init__(self, reply: Any) -> None:
        self.reply, self.asked = reply, list[Request]()

    async def complete(self, request: Request) -> Reply | Failure:
        self.asked.append(request)
        result = self.reply(request.messages[-1].content)
        return Reply(result, self.name) if isinstance(result, str) else result


def answers(reply: Any, **options: Any) -> tuple[list[Answer], Scripted]:
    llm = Scripted(reply)
    return asyncio.run(answer_all(llm, "m", QUESTIONS, 4, quiet=True, **options)), llm


def test_second_turns_see_the_first_and_categories_set_the_temperature() -> None:
    given, llm = answers(lambda text: f"re {text}")
    assert [answer.turns for answer in given] == [("re 1+1?", "re And 2+2?"), ("re Write.",), ("re Sing.",)]
    second = next(request for request in llm.asked if len(request.messages) == 3)
    assert [message.content for message in second.messages] == ["1+1?", "re 1+1?", "And 2+2?"]
    heats = {request.messages[0].content: request.temperature for request in llm.asked}
    assert heats == {"1+1?": 0.0, "Write.": 0.7, "Sing.": 0.7}
    assert all(request.temperature == 0.3 for request in answers(lambda text: "x", temperature=0.3)[1].asked)


def test_a_failure_is_a_missing_answer_with_its_reason() -> None:
    given, _ = answers(lambda text: Failure("timeout", "too slow") if text == "And 2+2?" else "ok")
    assert given[0] == Answer("1", "m", ("ok",), (False,), "timeout: too slow")


def test_a_fatal_failure_stops_the_asking() -> None:
    given, llm = answers(lambda text: Failure("authentication", "bad key"))
    assert len(given) == 3 and all(answer.failure == "authentication: bad key" for answer in given)
    assert len(llm.asked) == 1
