"""A run: exactly as many records as asked for, every drop counted, whatever the replies do."""

import asyncio
import json
import random
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from camelid.models.llm import Failure, Reply, Request
from camelid.models.model_run import ModelRun
from camelid.models.offline.model import Offline
from selfinstruct.keep.nearness import LIMIT
from selfinstruct.keep.quality import Quality
from selfinstruct.keep.rouge import SimilarTexts
from selfinstruct.keep.rules import read_rules
from selfinstruct.keep.selection import EvaluationQuestions, Selection, read_evaluations
from selfinstruct.methods.alpaca import ALPACA, ReplyFormatName, find_form, generate_alpaca
from selfinstruct.methods.method import MethodInputs
from selfinstruct.run import GenerationRun
from selfinstruct.seeds import read_seeds


def run(
    llm: Any,
    count: int,
    questions: list[EvaluationQuestions] | None = None,
    form: ReplyFormatName = "json",
    journal: Path | None = None,
    grader: Any = None,
    **limits: Any,
) -> GenerationRun:
    seeds = read_seeds()
    selection = Selection([seed.instruction for seed in seeds], read_rules(), questions or [])
    with TemporaryDirectory() as folder, ModelRun(llm, journal or Path(folder, "journal"), 8, **limits) as model:
        going = GenerationRun(model, selection, count, Quality(grader, 4.5) if grader else None)
        fallback = find_form("text").open(seeds, 0, "English") if form == "json" else None
        model.run(generate_alpaca(going, find_form(form).open(seeds, 0, "English"), fallback))
    return going


class Shuffled:
    """The offline model with replies that arrive in random order, some of them failures."""

    name = "offline"

    def __init__(self, seed: int, fail: bool = False) -> None:
        self.random, self.fail = random.Random(seed), fail

    async def complete(self, request: Request) -> Reply | Failure:
        await asyncio.sleep(self.random.random() * 0.01)
        if self.fail and request.sample % 5 == 0:
            return Failure("server", "down")
        return await Offline().complete(request)


def test_exactly_as_many_as_asked_and_all_counted() -> None:
    outcome = run(Offline(), 120)
    assert len(outcome.records) == outcome.tasks.kept == 120 and outcome.stopped is None
    assert outcome.replies.read == outcome.replies.kept
    assert outcome.tasks.read == 17 * outcome.replies.read  # 20 asked for, 3 shown
    assert [record["id"] for record in outcome.records] == [f"task_{index:06d}" for index in range(120)]


def test_records_do_not_depend_on_the_order_of_arrival() -> None:
    assert run(Shuffled(1), 60).records == run(Shuffled(2), 60).records == run(Offline(), 60).records


def test_kept_records_differ_from_each_other_and_the_seeds() -> None:
    records = run(Offline(), 100).records
    kept = SimilarTexts([seed.instruction for seed in read_seeds()])
    for record in records:
        similarity = kept.compare(record["instruction"])
        assert similarity.highest <= LIMIT
        assert record["avg_similarity"] == similarity.average
        assert record["most_similar"] == similarity.most_similar
        kept.add(record["instruction"])


def test_questions_are_kept_out(tmp_path: Path) -> None:
    plain = [record["instruction"] for record in run(Offline(), 60).records]
    questions = tmp_path / "bench.jsonl"
    questions.write_text("".join(json.dumps({"text": text}) + "\n" for text in plain[:10]))
    outcome = run(Offline(), 60, questions=read_evaluations([questions]))
    assert not {record["instruction"] for record in outcome.records} & set(plain[:10])
    assert sum(count for reason, count in outcome.tasks.dropped.items() if "/bench.jsonl: " in reason) >= 10


def test_failures_are_counted_and_the_run_goes_on() -> None:
    outcome = run(Shuffled(0, fail=True), 60)
    assert len(outcome.records) == 60 and outcome.replies.dropped["server"] > 0


class Always:
    name = "always"

    def __init__(self, result: Reply | Failure) -> None:
        self.result, self.asked = result, 0

    async def complete(self, request: Request) -> Reply | Failure:
        self.asked += 1
        return self.result


def test_a_fatal_failure_ends_the_run_at_once() -> None:
    llm = Always(Failure("quota", "no money left"))
    outcome = run(llm, 60)
    assert outcome.stopped == "quota: no money left" and llm.asked == 1
    assert not outcome.records


def test_a_model_that_only_repeats_itself_is_given_up() -> None:
    llm = Always(Reply(" Name two rivers of Asia.\n4. Input:\n<noinput>\n4. Output:\nOb, Mekong", "always"))
    outcome = run(llm, 60, form="text")
    assert len(outcome.records) == 1
    assert outcome.stopped == (
        "10 replies in a row gave nothing: 'too similar to one before' took 10 of 10 records, such as "
        "'Name two rivers of Asia. -> Ob, Mekong'"
    )
    assert outcome.tasks.dropped["too similar to one before"] == outcome.tasks.read - 1


class NoSchema:
    """A server without structured output: it refuses, or it takes no notice."""

    name = "plain"

    def __init__(self, refuses: bool) -> None:
        self.refuses = refuses
        self.formats: list[bool] = []

    async def complete(self, request: Request) -> Reply | Failure:
        wanted = bool(request.extra)
        self.formats.append(wanted)
        if wanted:
            return Failure("bad_request", "no response_format") if self.refuses else Reply("Here you are!", "plain")
        return await Offline().complete(request)


@pytest.mark.parametrize("refuses", [True, False])
def test_auto_falls_back_to_text_and_json_does_not(refuses: bool, tmp_path: Path) -> None:
    for format, records in (("auto", 40), ("json", 0)):
        with ModelRun(NoSchema(refuses), tmp_path / format, 8, max_requests=20) as model:
            going = GenerationRun(model, Selection([], read_rules()), 40)
            model.run(ALPACA.generate(going, MethodInputs(read_seeds(), format=format)))
        assert len(going.records) == records


@pytest.mark.parametrize("refuses", [True, False])
def test_without_structured_output_it_goes_on_in_text(refuses: bool, capsys: pytest.CaptureFixture[str]) -> None:
    llm = NoSchema(refuses)
    outcome = run(llm, 40)
    assert len(outcome.records) == 40 and llm.formats[0] and not any(llm.formats[1:])
    assert capsys.readouterr().err.count("no structured output") == 1
    assert outcome.replies.dropped == {"no structured output": 1}


class Grader:
    """Gives instructions of an odd length a bad score, and none to some."""

    name = "grader"

    async def complete(self, request: Request) -> Reply | Failure:
        size = len(request.messages[0].content)
        if size % 7 == 0:
            return Failure("server", "down")
        return Reply("Hm." if size % 7 == 1 else f"Fine.\nScore: [[{2 if size % 2 else 5}]]", "grader")


def test_the_quality_filter_drops_what_scores_low_or_not_at_all() -> None:
    outcome = run(Offline(), 60, grader=Grader())
    assert len(outcome.records) == 60
    for reason in ("quality below 4.5", "quality not scored: server", "quality not scored: no score in the reply"):
        assert outcome.tasks.dropped[reason] > 0
    assert run(Shuffled(3), 60, grader=Grader()).records == outcome.records


def test_a_grader_that_can_grade_no_more_ends_the_run() -> None:
    teacher, grader = Offline(), Always(Failure("authentication", "wrong key"))
    outcome = run(teacher, 60, grader=grader)
    assert outcome.stopped == "quality model: authentication: wrong key" and not outcome.records
    assert outcome.tasks.read == 17  # of one reply, each with its reason


def test_a_budget_ends_the_run() -> None:
    outcome = run(Offline(), 10_000, max_requests=3)
    assert outcome.replies.kept == 3 and outcome.stopped == "budget: --max-requests 3 was reached"


class Broken:
    """Has no structured output, then fails now and then for good; after `calls` it fails the test."""

    name = "offline"

    def __init__(self, calls: int) -> None:
        self.calls = calls

    async def complete(self, request: Request) -> Reply | Failure:
        self.calls -= 1
        assert self.calls >= 0
        if request.extra:
            return Failure("bad_request", "no response_format")
        return Failure("server", "down") if request.sample % 4 == 1 else await Offline().complete(request)


def test_a_replay_from_the_journal_sends_nothing(tmp_path: Path) -> None:
    first = run(Broken(1000), 100, journal=tmp_path / "journal")
    again = run(Broken(0), 100, journal=tmp_path / "journal")
    assert first.records == again.records and first.ledgers == again.ledgers
    assert first.replies.dropped["server"] > 0


def test_no_more_is_asked_than_needed() -> None:
    llm = Always(Reply("", "always"))
    run(llm, 20, form="text", max_requests=5)
    assert llm.asked == 5
    counted = Shuffled(4)
    outcome = run(counted, 15)
    assert outcome.replies.read <= 3


def test_a_duplicated_chinese_instruction_is_rejected(tmp_path: Path) -> None:
    texts = ["请写一首关于春天的短诗。", "请写一首关于春天的小诗。", "解释光合作用的过程。"]
    tasks = [{"instruction": text, "input": "", "output": "好。"} for text in texts]
    reply = Reply(json.dumps({"tasks": tasks}, ensure_ascii=False), "always")
    with ModelRun(Always(reply), tmp_path / "journal") as model:
        going = GenerationRun(model, Selection([], read_rules("zh")), 2)
        model.run(generate_alpaca(going, find_form("json").open(read_seeds(), 0, "Chinese")))
    assert [record["instruction"] for record in going.records] == [texts[0], texts[2]]
    assert going.tasks.dropped == {"too similar to one before": 1}
