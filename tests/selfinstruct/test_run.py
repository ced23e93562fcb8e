"""The command against a server that costs money and misbehaves; what is kept, and in what order it is decided."""

import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from camelid.files.ledger import Ledger
from camelid.files.read import file_hash, read_json, read_jsonl
from camelid.models.batch_api import BatchModel
from camelid.models.llm import Reply, Request
from camelid.models.model_run import ModelRun
from camelid.models.openai_api import OpenAIModel
from camelid.models.spend import Price
from selfinstruct.keep.nearness import Nearness
from selfinstruct.keep.quality import Quality
from selfinstruct.keep.rules import read_rules
from selfinstruct.keep.selection import Selection
from selfinstruct.methods.alpaca import find_form, generate_alpaca
from selfinstruct.run import ENOUGH, Candidate, GenerationRun
from selfinstruct.seeds import Task, read_seeds
from tests.fake_openai import FakeOpenAI
from tests.selfinstruct.teacher import answer

ROOT = Path(__file__).parents[2]
REAL = Path(os.environ.get("CAMELID_REAL_DATA", "missing"))
PRICE = (1000.0, 2000.0)  # USD per million tokens: a word costs 0.1 or 0.2 cents


def command(output: Path, url: str, count: int, *more: object) -> list[str]:
    start = [sys.executable, "-m", "camelid.app.cli", "selfinstruct", "generate", "--quiet", "--model", "fake"]
    return [*start, "--base-url", url, "--output", str(output), "--count", str(count), *map(str, more)]


def finish(output: Path, url: str, count: int, *more: object) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command(output, url, count, *more), capture_output=True, text=True, env=env, check=False)


def assert_all_explained(output: Path, count: int) -> dict[str, Any]:
    """As many records as wanted; every reply and every task counted, with a reason where it was dropped."""
    facts = read_json(output.with_suffix(".ledger.json"))
    records = [record for _, record in read_jsonl(output)]
    assert len(records) == count == facts["ledgers"][-1]["kept"]
    assert [record["id"] for record in records] == [f"task_{number:06d}" for number in range(count)]
    for ledger in facts["ledgers"]:
        assert ledger["read"] == ledger["kept"] + sum(ledger["dropped"].values())
    assert facts["ledgers"][-1]["read"] == 17 * facts["ledgers"][0]["kept"]
    return dict(facts)


@pytest.mark.slow
def test_2000_records_although_30_percent_of_all_replies_fail(tmp_path: Path) -> None:
    faults = {"429": 0.06, "429-after": 0.04, "500": 0.1, "slow": 0.03, "garbage": 0.04, "reset": 0.03}
    seeds = read_seeds()
    with FakeOpenAI(answer, faults={**faults, "refusal": 0.03}, json_schema=True, price=PRICE) as server:
        llm = OpenAIModel("fake", server.url, 32, timeout=1.0, first_wait=0.02)
        with ModelRun(llm, tmp_path / "journal.jsonl", 32, Price(*PRICE)) as model:
            run = GenerationRun(model, Selection([seed.instruction for seed in seeds], read_rules()), 2000)
            model.run(generate_alpaca(run, find_form("json").open(seeds, 0, "English")))
    refused = run.replies.dropped.pop("refusal")
    assert len(run.records) == run.tasks.kept == 2000 and run.stopped is None
    assert run.tasks.read == 17 * run.replies.kept and run.replies.dropped.total() <= 3 < refused
    assert set(run.tasks.dropped) == {
        "asks for what text cannot do", "instruction too short or too long", "output has a URL that was not given",
        "too similar to one before", "not needed: the run had ended",
    }  # fmt: skip
    expected: Counter[str] = Counter()
    for record in run.records:
        expected[record["request"]] += 1
    assert max(expected.values()) <= 17 and len(server.requests) > 1.3 * run.replies.read
    assert model.cost == pytest.approx(server.bill)


@pytest.mark.slow
def test_killed_at_20_points_nothing_answered_is_sent_again_and_the_file_is_the_same(tmp_path: Path) -> None:
    rng, few = random.Random(0), ("--concurrency", 4)
    straight, killed = tmp_path / "straight" / "r.jsonl", tmp_path / "killed" / "r.jsonl"
    journal = killed.with_suffix(".journal.jsonl")
    requests = find_form("json").open(read_seeds(), 0, "English").requests
    numbers = {request.key("fake"): request.seed for request in islice(requests, 400)}

    def journaled() -> set[int | None]:
        lines = journal.read_bytes().split(b"\n")[:-1] if journal.exists() else []
        return {numbers[json.loads(line)["key"]] for line in lines if b'"reply"' in line}

    with FakeOpenAI(answer, faults={"500": 0.05, "429-after": 0.05}, latency=0.2, json_schema=True) as server:
        assert finish(straight, server.url, 3000, *few).returncode == 0
        for _ in range(20):
            known, before = journaled(), len(server.requests)
            process = subprocess.Popen(command(killed, server.url, 3000, *few), stderr=subprocess.DEVNULL, cwd=ROOT)
            until = len(known) + rng.randint(1, 4)
            while len(journaled()) < until:
                assert process.poll() is None, "finished before it could be killed"
                time.sleep(0.005)
            time.sleep(rng.random() * 0.05)
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert not killed.exists()
            assert not known & {body["seed"] for body in server.requests[before:]}
        known, before = journaled(), len(server.requests)
        result = finish(killed, server.url, 3000, *few)
        assert result.returncode == 0, result.stderr
        assert known and not known & {body["seed"] for body in server.requests[before:]}
    assert file_hash(killed) == file_hash(straight)
    assert_all_explained(killed, 3000)


@pytest.mark.slow
def test_the_estimate_is_within_15_percent_of_the_bill(tmp_path: Path) -> None:
    output = tmp_path / "r.jsonl"
    with FakeOpenAI(answer, json_schema=True, price=PRICE) as server:
        result = finish(output, server.url, 800, "--price", "1000,2000")
        assert result.returncode == 0, result.stderr
        told = re.search(r"estimate for the whole run: \$([\d.,]+)", result.stderr)
        assert told and float(told[1].replace(",", "")) == pytest.approx(server.bill, rel=0.15)
        assert "rough estimate before the first call: 48 requests" in result.stderr
        facts = assert_all_explained(output, 800)
        assert facts["spent"][0]["cost_usd"] == pytest.approx(server.bill)
        asked = len(server.requests)
        assert "already made" in finish(output, server.url, 800, "--price", "1000,2000").stdout
        output.unlink()  # a replay needs the journal alone
        assert finish(output, "http://127.0.0.1:9/v1", 800).returncode == 0
        assert file_hash(output) == facts["sha256"] and len(server.requests) == asked


def test_a_budget_is_a_hard_stop(tmp_path: Path) -> None:
    output = tmp_path / "r.jsonl"
    with FakeOpenAI(answer, json_schema=True, price=PRICE, latency=0.02) as server:
        result = finish(output, server.url, 2000, "--price", "1000,2000", "--max-cost", "20")
        assert result.returncode == 1 and "budget: --max-cost 20 was reached" in result.stderr
        assert 15 < server.bill < 21  # a reply costs up to a dollar
        assert 0 < sum(1 for _ in read_jsonl(output)) < 2000


def test_a_wrong_key_ends_the_run_at_once(tmp_path: Path) -> None:
    with FakeOpenAI(answer, faults={"401": 1.0}) as server:
        result = finish(tmp_path / "r.jsonl", server.url, 2000)
        assert result.returncode == 1 and "authentication: HTTP 401" in result.stderr
        assert len(server.requests) == 1


@pytest.mark.slow
def test_a_quality_model_is_paid_from_the_same_budget(tmp_path: Path) -> None:
    def teach_or_grade(body: dict[str, Any]) -> str:
        if body["model"] == "grader":
            return f"Score: [[{random.Random(body['messages'][0]['content']).choice([3, 5])}]]"
        return answer(body)

    with FakeOpenAI(teach_or_grade, json_schema=True, price=PRICE) as server:
        output = tmp_path / "r.jsonl"
        graded = ("--quality-model", "grader", "--price", "1000,2000", "--quality-price", "1000,2000")
        result = finish(output, server.url, 100, *graded, "--max-cost", "300")
        assert result.returncode == 0, result.stderr
        facts = assert_all_explained(output, 100)
        assert facts["ledgers"][-1]["dropped"]["quality below 4.5"] > 50
        assert [spent["model"] for spent in facts["spent"]] == ["fake", "grader"]
        assert sum(spent["cost_usd"] for spent in facts["spent"]) == pytest.approx(server.bill)
        before = server.bill
        stopped = finish(tmp_path / "s.jsonl", server.url, 1000, *graded, "--max-cost", "15")
        assert "--max-cost 15 was reached" in stopped.stderr and 10 < server.bill - before < 16


def test_batches_give_the_same_records_for_half_the_money(tmp_path: Path) -> None:
    seeds = read_seeds()

    def run(llm: Any, name: str, concurrency: int) -> list[dict[str, Any]]:
        with ModelRun(llm, tmp_path / name, concurrency, batch=concurrency > 100) as model:
            going = GenerationRun(model, Selection([seed.instruction for seed in seeds], read_rules()), 1000)
            model.run(generate_alpaca(going, find_form("json").open(seeds, 0, "English")))
        return going.records

    with FakeOpenAI(answer, json_schema=True, price=PRICE) as server:
        batch = BatchModel("fake", tmp_path / "batches", server.url, poll=0.05, gather=0.05)
        records = run(batch, "batch", 10_000)
        assert len(records) == 1000 and len(server.batches) <= 5
        replies, bill = len(server.requests), server.bill
        assert replies <= 1.1 * (1 + max(record["request"] for record in records))
        assert run(OpenAIModel("fake", server.url), "single", 16) == records
        assert bill == pytest.approx((server.bill - bill) / 2, rel=0.1)


@pytest.mark.skipif(not REAL.is_dir(), reason="CAMELID_REAL_DATA is not set")
def test_published_seeds_run_unchanged_and_published_questions_are_kept_out(tmp_path: Path) -> None:
    questions = [json.loads(line) for line in (REAL / "selfinstruct/user_oriented_252.jsonl").open(encoding="utf-8")]

    def reworded(text: str) -> str:
        return " ".join("other" if place % 7 == 6 else word for place, word in enumerate(text.split()))

    def copies(body: dict[str, Any]) -> str:
        """Tasks of its own and, of the 252, one word for word and one slightly changed."""
        own = json.loads(answer(body))["tasks"][:8]
        picked = random.Random(body["seed"]).sample(questions, 2)
        given = [(item["instruction"], item["instances"][0]["input"]) for item in picked]
        given[1] = (reworded(given[1][0]), reworded(given[1][1]))
        return json.dumps({"tasks": own + [{"instruction": i, "input": j, "output": "Yes."} for i, j in given]})

    sets = [REAL / name for name in ("selfinstruct/user_oriented_252.jsonl", "mt_bench/question.jsonl",
                                     "vicuna80/question.jsonl")]  # fmt: skip
    output = tmp_path / "r.jsonl"
    with FakeOpenAI(copies, json_schema=True) as server:
        seeds = REAL / "selfinstruct/seed_tasks.jsonl"
        result = finish(output, server.url, 500, "--seeds", seeds, "--decontaminate", *sets)
    assert result.returncode == 0, result.stderr
    shown = server.requests[0]["messages"][0]["content"]
    assert sum(" ".join(seed.instruction.split()).rstrip(":") in shown for seed in read_seeds(seeds)) >= 1
    facts = read_json(output.with_suffix(".ledger.json"))
    caught = {reason: count for reason, count in facts["ledgers"][-1]["dropped"].items() if "user_oriented" in reason}
    assert sum(caught.values()) > 60 and len(caught) == 2
    theirs = {item["instruction"].lower() for item in questions}
    assert not [record for _, record in read_jsonl(output) if record["instruction"].lower() in theirs]


class Strict:
    """A quality model that finds only what holds `fine` good, and remembers what it was asked."""

    name = "strict"

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def complete(self, request: Request) -> Reply:
        self.asked.append(request.messages[0].content)
        return Reply(f"Score: [[{5 if 'fine' in self.asked[-1] else 1}]]", "strict")


# Each falls to one filter, and to all that come after it where one text can.
SEED = "Name the two longest rivers of Asia."
FALLS = {
    "of its method": Candidate(Task("Draw it.", "", ""), 0, "m", fault="of its method"),
    "instruction too short or too long": Candidate(Task("Draw it.", "", ""), 1, "m"),
    "output empty": Candidate(Task(SEED, "", ""), 2, "m"),
    "too similar to one before": Candidate(Task(SEED, "", "bad"), 3, "m"),
    "quality below 4.5": Candidate(Task("Explain how tides follow from the moon.", "", "bad"), 4, "m"),
}
PASS = [Candidate(Task(f"{verb} old {noun} with {noun}s.", "", "fine"), 5, "m", facts={"of": noun}) for verb, noun in
        (("Compare", "castle"), ("Sort", "violin"), ("Weigh", "lantern"))]  # fmt: skip


def keep(tmp_path: Path, candidates: list[Candidate], count: int, **how: Any) -> tuple[GenerationRun, Strict, Any]:
    strict = Strict()
    with ModelRun(strict, tmp_path / "journal") as model:
        run = GenerationRun(model, Selection([SEED], read_rules()), count, Quality(strict, 4.5))
        return run, strict, model.run(run.keep_passing(candidates, **how))


@pytest.mark.parametrize("together", [False, True])
def test_the_first_reason_in_order_is_counted_and_what_falls_to_it_is_not_scored(
    together: bool, tmp_path: Path
) -> None:
    candidates = [*FALLS.values(), *PASS, PASS[0]]
    run, strict, kept = keep(tmp_path, candidates, 9, together=together)
    assert run.tasks.dropped == Counter([*FALLS, "too similar to one before"])
    assert kept == PASS and run.tasks.kept == 3
    assert [(record["instruction"], record["of"]) for record in run.records] == [
        (candidate.task.instruction, candidate.facts["of"]) for candidate in PASS
    ]
    assert len(strict.asked) == len(set(strict.asked)) == 4  # what is too similar is not scored


def test_what_comes_after_the_last_one_wanted(tmp_path: Path) -> None:
    candidates = [PASS[0], *FALLS.values(), PASS[1]]
    (tmp_path / "one").mkdir()
    run, strict, kept = keep(tmp_path / "one", candidates, 1)
    assert run.tasks.dropped == {ENOUGH: 6} and kept == PASS[:1] and len(strict.asked) == 1
    run, _, kept = keep(tmp_path, candidates, 1, together=True)  # each had a reply of its own, which is judged
    assert run.tasks.dropped == Counter([*list(FALLS)[:3], ENOUGH, ENOUGH, ENOUGH]) and kept == PASS[:1]


def test_an_instruction_kept_before_is_not_too_near_to_itself(tmp_path: Path) -> None:
    copied = Nearness(0.999, "a copy")
    near = Candidate(Task(SEED.replace("two", "three"), "", "fine"), 3, "m")
    run, _, kept = keep(tmp_path, [near, FALLS["too similar to one before"]], 9, nearness=copied)
    assert kept == [near] and run.tasks.dropped == {"a copy": 1}
    run.instructions = Ledger("instructions")
    [(text, similarity)] = run.keep_instructions(["Explain how a lock lifts a boat.", SEED, "Draw it."])
    assert run.instructions.dropped == Counter([*list(FALLS)[1:2], "too similar to one before"])
    tasks = [Task(text, given, "fine") for given in ("a", "b")]
    run.count, run.quality = 3, None
    asyncio.run(run.keep_passing([Candidate(task, 0, "m", similarity=similarity) for task in tasks], together=True))
    assert [record["input"] for record in run.records] == ["", "a", "b"]
    assert run.records[1]["avg_similarity"] == similarity.average
