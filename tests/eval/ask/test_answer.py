"""Answers: turn by turn, at the category's temperature, and failures stay typed."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from camelid.files.write import write_jsonl
from camelid.models.llm import Failure, Reply, Request, Usage
from camelid.models.model_run import ModelRun
from camelid.models.spend import Price
from eval.ask.answer import Answer, answer_all, estimate_all, read_answers
from eval.ask.questions import Question
from tests.eval.scripted import Scripted

QUESTIONS = [
    Question("1", "math", ("1+1?", "And 2+2?"), ("2", "4")),
    Question("2", "writing", ("Write.",)),
    Question("3", "writing", ("Sing.",)),
]


def answers(reply: Any, **options: Any) -> tuple[list[Answer], Scripted]:
    llm = Scripted(reply)
    with TemporaryDirectory() as folder, ModelRun(llm, Path(folder) / "journal.jsonl", 4) as model:
        return model.run(answer_all(model, "m", QUESTIONS, quiet=True, **options)), llm


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
    assert given[0] == Answer("1", "m", ("ok",), (False,), "timeout: too slow", Usage(10, 2))


def test_answers_survive_their_file(tmp_path: Path) -> None:
    given, _ = answers(lambda text: Failure("timeout", "too slow") if text == "And 2+2?" else "ok")
    write_jsonl(tmp_path / "m.jsonl", (answer.to_json() for answer in given))
    assert read_answers(tmp_path / "m.jsonl") == given


def test_an_interrupted_run_keeps_what_is_in_flight(tmp_path: Path) -> None:
    class Slow(Scripted):
        async def complete(self, request: Request) -> Reply | Failure:
            result = await super().complete(request)
            await asyncio.sleep(0.05)
            return result

    async def interrupted(model: ModelRun) -> None:
        run = asyncio.create_task(answer_all(model, "m", [Question(str(q), "all", ("?" * q,)) for q in range(50)]))
        await asyncio.sleep(0.02)
        run.cancel()
        await asyncio.wait([run])

    llm = Slow(lambda text: "ok")
    with ModelRun(llm, tmp_path / "journal.jsonl", 4) as model:
        model.run(interrupted(model))
    assert len(llm.asked) == len((tmp_path / "journal.jsonl").read_text().splitlines()) == 4


def test_an_estimate_counts_all_turns_and_pays_for_nothing_twice(tmp_path: Path) -> None:
    """60 questions of two turns at 14 dollars each: 20 of them, answered in full, tell the whole."""
    questions = [Question(str(number), "all", (f"{number}?", "And?")) for number in range(60)]
    llm = Scripted(lambda text: "ok")
    with ModelRun(llm, tmp_path / "journal.jsonl", 4, Price(1e6, 2e6)) as model:
        estimate = model.run(estimate_all(model, "m", questions, quiet=True))
        assert estimate.whole == 60 * 2 * 14 and len(llm.asked) == 40
        assert len(model.run(answer_all(model, "m", questions, quiet=True))) == 60 and len(llm.asked) == 120
        assert model.cost == 60 * 2 * 14


def test_published_failures_are_failures(tmp_path: Path) -> None:
    """FastChat writes $ERROR$ where a model did not answer; the turns before it are there."""
    rows = [{"question_id": 1, "model_id": "m", "choices": [{"turns": ["Fine.", "$ERROR$"]}]}]
    rows.append({"question_id": 2, "model_id": "m", "choices": [{"turns": ["$ERROR$", "$ERROR$"]}]})
    write_jsonl(tmp_path / "m.jsonl", rows)
    one, two = read_answers(tmp_path / "m.jsonl")
    assert one.turns == ("Fine.",) and two.turns == () and one.failure == two.failure == "the file says $ERROR$"
