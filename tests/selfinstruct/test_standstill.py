"""A run that gets nowhere ends soon, with the reason and an example; one that only seems to goes on."""

import io
import json
import random
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from camelid.app.cli import main
from camelid.files.ledger import Ledger
from camelid.files.read import read_json
from camelid.models.model_run import ModelRun
from camelid.models.openai_api import OpenAIModel
from selfinstruct.keep.rules import read_rules
from selfinstruct.keep.selection import Selection
from selfinstruct.methods.alpaca import find_form, generate_alpaca
from selfinstruct.run import GenerationRun
from selfinstruct.seeds import read_seeds
from selfinstruct.standstill import Standstill
from tests.fake_openai import FakeOpenAI
from tests.selfinstruct.teacher import answer

HINDI = "समझाइए कि आकाश नीला क्यों दिखाई देता है और"


def hindi(body: dict[str, Any]) -> str:
    rng = random.Random(body["seed"])
    tasks = [{"instruction": f"{HINDI} {rng.random()}", "input": "", "output": "क्योंकि"} for _ in range(17)]
    return json.dumps({"tasks": tasks}, ensure_ascii=False)


def generate(output: Path, url: str, count: int) -> tuple[int, str]:
    """The command's exit status and what it said of errors."""
    command = ["selfinstruct", "generate", "--quiet", "--model", "fake", "--base-url", url, "--concurrency", "4"]
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()) as said:
        status = main([*command, "--output", str(output), "--count", str(count)])
    return status, said.getvalue()


def few_good(teach: Any, count: int) -> Any:
    """A teacher that writes so many good replies first."""
    served: list[int] = []

    def reply(body: dict[str, Any]) -> str:
        served.append(1)
        return str(answer(body) if len(served) <= count else teach(body))

    return reply


@pytest.mark.parametrize("good", [0, 3])
def test_what_one_rule_drops_ends_the_run_after_about_ten_replies(tmp_path: Path, good: int) -> None:
    output = tmp_path / "r.jsonl"
    with FakeOpenAI(few_good(hindi, good), json_schema=True) as server:
        status, said = generate(output, server.url, 1000)
        assert status == 1 and len(server.requests) <= good + 10 + 2 * 4
    reason = "instruction begins with punctuation or a non-ASCII character"
    assert f"gave nothing: '{reason}'" in said and HINDI[:20] in said
    ledger = read_json(tmp_path / "r.ledger.json")["ledgers"][-1]
    assert ledger["examples"][reason].startswith(HINDI)


@pytest.mark.parametrize("good", [0, 3])
def test_a_teacher_that_always_refuses_is_asked_about_ten_times(tmp_path: Path, good: int) -> None:
    output = tmp_path / "r.jsonl"
    with FakeOpenAI(answer, json_schema=True) as server:
        server.refuse_after = good
        status, said = generate(output, server.url, 1000)
        assert status == 1 and len(server.requests) <= good + 10 + 2 * 4
        assert "requests in a row failed with refusal: I cannot help with that." in said
        first = len(server.requests)
        server.refuse_after = None
        status, said = generate(output, server.url, 100)  # what was refused is passed over
        assert status == 0, said
        assert len(server.requests) < first + 30 and set(server.good_replies.values()) == {1}
    assert read_json(tmp_path / "r.ledger.json")["ledgers"][0]["examples"]["refusal"] == "I cannot help with that."


def test_a_server_that_breaks_at_a_schema_is_asked_for_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seeds = read_seeds()
    with FakeOpenAI(answer, breaks_at_schema=True) as server:
        model = ModelRun(OpenAIModel("fake", server.url, first_wait=0.001), tmp_path / "journal.jsonl")
        with model:
            run = GenerationRun(model, Selection([], read_rules()), 30)
            forms = [find_form(name).open(seeds, 0, "English") for name in ("json", "text")]
            model.run(generate_alpaca(run, *forms))
    assert len(run.records) == 30 and "using --format text" in capsys.readouterr().err


def test_only_what_one_reason_takes_is_a_standstill() -> None:
    ledger = Ledger("records")
    watch = Standstill(ledger, 10, "not needed")
    for reply in range(1, 10):
        ledger.drop("bad", 17, example="such\na one")
        assert watch.reason(reply) is None
    ledger.drop("bad", 17)
    assert watch.reason(10) == "10 replies in a row gave nothing: 'bad' took 170 of 170 records, such as 'such a one'"
    ledger.drop("worse", 20)  # more than a tenth falls to something else
    assert watch.reason(11) is None
    ledger.keep()
    assert watch.reason(12) is None
    ledger.drop("new", 9)
    ledger.drop("not needed", 40)
    assert watch.reason(30) is None  # too few to tell
    ledger.drop("new")
    assert watch.reason(30) is not None


def test_as_many_in_a_row_as_the_rate_before_would_give_are_no_standstill() -> None:
    """Where half is too similar, ten in a row are soon met; at 0.5 twenty are as likely as one in a million."""
    ledger = Ledger("instructions")
    watch = Standstill(ledger, 10, "not needed")
    ledger.drop("too similar", 500)
    ledger.keep(500)
    assert watch.reason(1000) is None
    ledger.drop("too similar", 19)
    assert watch.reason(1019) is None
    ledger.drop("too similar")
    assert watch.reason(1020) is not None
