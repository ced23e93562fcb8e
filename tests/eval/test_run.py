"""Answers, grades and report together: failures stay typed and are counted, never graded."""

import asyncio
import json
from html.parser import HTMLParser
from typing import Any

import pytest

from camelid.errors import UserError
from camelid.llm import Failure, Reply, Request
from eval.answer import Answer, answer_all
from eval.judge import Judgment, judge_all
from eval.questions import Question
from eval.report import headline, html
from eval.results import Results, markdown, summarise

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


def judged(given: list[Answer], reply: Any) -> tuple[list[Judgment], Scripted]:
    llm = Scripted(reply)
    return asyncio.run(judge_all(llm, QUESTIONS, given, 4, quiet=True)), llm


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
    grades, _ = judged(given, lambda text: "Rating: [[5]]")
    assert [(grade.question, grade.turn) for grade in grades] == [("1", 1), ("2", 1), ("3", 1)]
    results = summarise(QUESTIONS, given, grades, "j")
    [model] = results.models
    assert (model.graded, model.ungraded, model.missing) == (3, 0, 1) and not results.complete


def test_a_fatal_failure_stops_the_asking() -> None:
    given, llm = answers(lambda text: Failure("authentication", "bad key"))
    assert len(given) == 3 and all(answer.failure == "authentication: bad key" for answer in given)
    assert len(llm.asked) == 1
    given, _ = answers(lambda text: "ok")
    grades, judge = judged(given, lambda text: Failure("quota", "broke"))
    assert len(grades) == 4 and all(grade.failure == "quota: broke" for grade in grades)
    assert len(judge.asked) <= 4


def test_ungraded_replies_are_in_no_mean() -> None:
    given, _ = answers(lambda text: "ok")
    grades, judge = judged(given, lambda text: "[[9]]" if "1+1" in text else "no idea")
    assert [grade.score for grade in grades] == [9, 9, None, None]
    results = summarise(QUESTIONS, given, grades, "j")
    [model] = results.models
    assert model.score is not None and model.score.mean == 9 and model.ungraded == 2
    assert set(model.categories) == {"math"}
    first, second, third, _ = (request.messages[-1].content for request in judge.asked)
    assert "[The Start of Reference Answer]\n2\n" in first and "So Far" not in first
    assert "[The Start of Reference Answer]\n4\n" in second and "User: 1+1?\n\nAssistant: ok" in second
    assert "Reference" not in third


def test_an_answer_to_an_unknown_question_is_an_error() -> None:
    with pytest.raises(UserError, match="m: answers question '9', which is not in the question file"):
        judged([Answer("9", "m", ("x",), (False,))], lambda text: "[[5]]")


def two_models(gap: float) -> tuple[Results, list[Answer], list[Judgment]]:
    questions = [Question(str(index), "all", ("q",)) for index in range(40)]
    given = [Answer(question.id, label, ("a",), (False,)) for label in ("worse", "better") for question in questions]
    grades = [
        Judgment(
            answer.question, answer.model, 1, "j", 4 + int(answer.question) % 3 + gap * (answer.model == "better"), "t"
        )
        for answer in given
    ]
    return summarise(questions, given, grades, "j"), given, grades


def test_headlines_say_no_more_than_the_numbers() -> None:
    assert headline(two_models(2)[0]).startswith("better beats worse by 2.00 points of 10")
    assert "cannot be told apart" in headline(two_models(0)[0])
    assert headline(summarise([], [], [], "j")).startswith("No answer was graded")


def test_tables() -> None:
    results, _, _ = two_models(2)
    value = json.loads(json.dumps(results.to_json()))
    assert [model["label"] for model in value["models"]] == ["better", "worse"]
    [gap] = value["differences"]
    assert gap["mean"] == 2 and gap["interval"] == [2, 2]
    assert "| better | " in markdown(results) and "- better - worse: 2.00 (2.00 to 2.00)" in markdown(results)


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen = list[tuple[str, dict[str, str | None]]]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def test_the_report_holds_everything_and_nothing_can_run_in_it() -> None:
    evil = (
        "<script>alert(1)</script><img src=x onerror=alert(1)> [a](javascript:alert(1)) ![p](https://x.example/p.png)"
    )
    questions = [Question("<i>1", "<b>cat", (evil,), (evil,))]
    given = [Answer("<i>1", "<u>m", (evil,), (True,))]
    grades = [Judgment("<i>1", "<u>m", 1, "<s>j", 3.0, evil)]
    page = html("<h1>t", summarise(questions, given, grades, "<s>j"), questions, given, grades)
    tags = Tags()
    tags.feed(page)
    names = [name for name, _ in tags.seen]
    assert names.count("script") == 1 and not {"img", "u", "s", "link", "iframe"} & set(names)
    assert not any(key.startswith("on") for _, attributes in tags.seen for key in attributes)
    assert not any("javascript:" in str(value) for _, attributes in tags.seen for value in attributes.values())
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 4  # summary, question, reference, answer, judgment
    assert "cut off at the token limit" in page
