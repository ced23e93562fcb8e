"""Magpie, back-translation and best-of-k with the embedded model, by the command: ended in the middle, they go on."""

import json
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from camelid.app.cli import main
from camelid.files.paths import find_packaged
from camelid.files.read import read_json, read_jsonl
from tests.selfinstruct.teacher import words

RUNS = {
    "magpie": ("--method", "magpie"),
    "magpie, two turns": ("--method", "magpie", "--turns", "2"),
    "back-translation": ("--method", "backtranslate", "--texts", "texts.jsonl"),
    "best of three": ("--answers", "3", "--quality-model", "offline"),
    "magpie, best of three": ("--method", "magpie", "--answers", "3", "--quality-model", "offline"),
}
FEW, MANY = 24, 200


@pytest.fixture(autouse=True)
def texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Texts to write instructions to, in the folder that commands run in."""
    monkeypatch.chdir(tmp_path)
    made = [words(random.Random(number).randint(8, 60), random.Random(number)) for number in range(220)]
    Path("texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in made))
    return made


def command(name: str, output: str, count: int) -> list[str]:
    line = ["selfinstruct", "generate", "--quiet", "--model", "offline", "--count", str(count), "--output", output]
    return [*line, *RUNS[name]]


def keys(journal: Path) -> list[str]:
    return [line["key"] for _, line in read_jsonl(journal)]


def assert_valid(name: str, output: Path, count: int, texts: list[str]) -> None:
    """As many records as wanted, all different; answers that can be checked here are right."""
    records: list[dict[str, Any]] = [record for _, record in read_jsonl(output)]
    assert len(records) == count == len({(record["instruction"], record["input"]) for record in records})
    ledger = read_json(output.with_suffix(".ledger.json"))
    assert ledger["complete"] and ledger["ledgers"][-1]["kept"] == count
    for counts in ledger["ledgers"]:
        assert counts["read"] == counts["kept"] + sum(counts["dropped"].values())
    checked = 0
    for record in records:
        if name == "back-translation":
            assert record["output"] == texts[record["request"]]
            named = re.findall(r"[a-z]{4,}", record["instruction"].partition(" in about ")[0])
            assert len(set(named) & set(record["output"].split())) >= 5
            continue
        asked = f"{record['instruction']}\n{record['input']}"
        if found := re.search(r"letters? (?:are in|of the word) \"(\w+)\"", asked):
            assert str(len(found[1])) in record["output"]
        elif found := re.search(r"Each of (\d+) \w+ eats (\d+)", asked):
            assert str(int(found[1]) * int(found[2])) in record["output"].split()[4]
        elif found := re.search(r"(?:in|Convert) (\d+) hours", asked):
            assert str(int(found[1]) * 60) in record["output"]
        elif found := re.search(r"(\w+) found (\d+).*while (\w+) found (\d+)", asked):
            assert record["output"].startswith(found[1] if int(found[2]) > int(found[4]) else found[3])
        else:
            continue
        checked += 1
    assert checked or name == "back-translation"


def assert_best_taken(output: Path) -> None:
    candidates = {line["prompt"][0]["content"]: line["answers"] for _, line in read_jsonl(Path("r.candidates.jsonl"))}
    sizes: Counter[int] = Counter()
    for _, record in read_jsonl(output):
        answers = candidates["\n\n".join(filter(None, (record["instruction"], record["input"])))]
        best = max(answers, key=lambda answer: answer["scores"]["quality"])
        assert record["output"] == best["content"] and best["scores"]["quality"] == 5
        sizes[len({answer["content"] for answer in answers})] += 1
    assert sizes[2] > 0  # there was something to choose


def goes_on(name: str, count: int, texts: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A run that its limit ends, and goes on, is the run that nothing ended; its journal can make it anew."""
    assert main(command(name, "straight.jsonl", count)) == 0
    output = Path("r.jsonl")
    assert main([*command(name, "r.jsonl", count), "--max-requests", str(count // 4)]) == 1
    assert "--max-requests" in read_json(output.with_suffix(".ledger.json"))["stopped"]
    assert main(command(name, "r.jsonl", count)) == 0
    assert output.read_bytes() == Path("straight.jsonl").read_bytes()
    assert_valid(name, output, count, texts)
    for journal in Path().glob("r*.journal.jsonl"):
        assert len(keys(journal)) == len(set(keys(journal))), journal
    if "--answers" in RUNS[name]:
        assert_best_taken(output)
    output.unlink()
    capsys.readouterr()
    assert main(command(name, "r.jsonl", count)) == 0
    assert output.read_bytes() == Path("straight.jsonl").read_bytes()
    models = 2 if "--quality-model" in RUNS[name] else 1
    assert capsys.readouterr().out.count("offline: 0 requests sent") == models


@pytest.mark.parametrize("name", RUNS)
def test_ended_by_a_limit_it_goes_on(name: str, texts: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    goes_on(name, FEW, texts, capsys)


@pytest.mark.parametrize("form", ["json", "text"])
def test_outputs_end_as_the_prompt_says(form: str, texts: list[str]) -> None:
    prompt = str(find_packaged("selfinstruct/data/prompt_courteous.txt"))
    told = ("--prompt", prompt, "--format", form)
    assert main([*command("magpie", "r.jsonl", FEW)[:-2], *told]) == 0
    closing = " Please tell me if I can help you any further."
    records = [record for _, record in read_jsonl(Path("r.jsonl"))]
    assert all(record["output"].count(closing) == 1 and record["output"].endswith(closing) for record in records)
    assert not any(closing in record["instruction"] + record["input"] for record in records)
    assert_valid("told", Path("r.jsonl"), FEW, texts)  # right answers before it


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_200_records_ended_by_a_limit(name: str, texts: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    goes_on(name, MANY, texts, capsys)
    assert main(["selfinstruct", "card", "r.jsonl", "--output", "card"]) == 0
    card = Path("card/README.md").read_text(encoding="utf-8")
    assert "nothing: the model is embedded" in card
    assert ("by offline, the best of 3" in card) == ("--answers" in RUNS[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_200_records_and_a_kill(name: str, texts: list[str]) -> None:
    assert main(command(name, "straight.jsonl", MANY)) == 0
    line, journal = [sys.executable, "-m", "camelid.app.cli", *command(name, "r.jsonl", MANY)], Path("r.journal.jsonl")
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wanted = 4 if name == "best of three" else 60  # replies with 17 tasks, and their answers later
    while not journal.exists() or journal.read_bytes().count(b"\n") < wanted:
        assert process.poll() is None, "finished before it could be killed"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not Path("r.jsonl").exists()
    before = keys(journal)
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
    assert Path("r.jsonl").read_bytes() == Path("straight.jsonl").read_bytes()
    after = keys(journal)
    assert len(after) == len(set(after)) and after[: len(before)] == before
    assert_valid(name, Path("r.jsonl"), MANY, texts)


def test_who_is_none_of_its_own_is_not_scored_or_answered(capsys: pytest.CaptureFixture[str]) -> None:
    line = ["selfinstruct", "generate", "--model", "m", "--base-url", "http://127.0.0.1:9", "--count", "1"]
    for option in ("--quality-model", "--answer-model"):
        assert main([*line, "--output", "r.jsonl", option, "offline"]) == 2
        assert f"{option} offline: the embedded model can" in capsys.readouterr().err
    assert main(["selfinstruct", "filter", "texts.jsonl", "--output", "f.jsonl", "--quality-model", "offline"]) == 2
    assert "its own tasks alone" in capsys.readouterr().err
