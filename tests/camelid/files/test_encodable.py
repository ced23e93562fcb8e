"""Half of a surrogate pair costs that character and nothing else, wherever it comes from."""

import json
from pathlib import Path
from typing import Any

import pytest

from camelid.app.cli import main
from camelid.files.encodable import mend_json, mend_text
from camelid.files.read import read_json, read_jsonl
from camelid.files.records import read_records
from camelid.message import Message
from camelid.models.llm import Reply, Request
from camelid.models.model_run import ModelRun
from tests.fake_openai import FakeOpenAI
from tests.selfinstruct.teacher import answer

BROKEN = '"a\\ud83d b" "\\ude00" "\\\\ud83d" "\\uD83D\\uDE00"'  # a first half, a second half, a backslash, a whole pair
MENDED = ["a\ufffd b", "\ufffd", "\\ud83d", "\U0001f600"]


def test_text_and_values() -> None:
    assert mend_text("\ufffd\ud83d!") == ("\ufffd\ufffd!", 1)
    assert mend_text("\ud83d\ude00") == ("\U0001f600", 0)
    assert mend_json({"\ud83d": [1, None, {"x": "\udc00\ud800"}]}) == ({"\ufffd": [1, None, {"x": "\ufffd\ufffd"}]}, 3)


@pytest.mark.parametrize("form", ["lines", "array", "document"])
def test_files(tmp_path: Path, form: str, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "x.json"
    record = '{"x": [' + BROKEN.replace('" "', '", "') + "]}"
    path.write_text({"lines": f"{record}\n", "array": f"[{record}]", "document": record}[form])
    read = {"lines": lambda: [r for _, r in read_jsonl(path)], "array": lambda: [r for _, r in read_records(path)]}
    [found] = read[form]() if form in read else [read_json(path)]
    assert found == {"x": MENDED}
    assert "replaced: 2" in caplog.text and str(path) in caplog.text


def test_whole_pairs_are_not_looked_at(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"x": "\U0001f600 \U0001f680"}) + "\n")
    assert [record for _, record in read_jsonl(path)] == [{"x": "\U0001f600 \U0001f680"}] and not caplog.text


class Broken:
    name = "broken"

    async def complete(self, request: Request) -> Reply:
        return Reply("so \ud83d it goes", "broken")


def test_a_reply(tmp_path: Path) -> None:
    for sent in (1, 0):
        with ModelRun(Broken(), tmp_path / "journal.jsonl") as model:
            reply = model.run(model.complete(Request((Message("user", "?"),))))
            assert isinstance(reply, Reply) and reply.text == "so \ufffd it goes" and model.sent == sent
            assert "broken characters replaced: 1" in model.summary()


def test_a_whole_generation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the model's JSON, and in a seed: the records are written, and the ledger counts."""

    def with_halves(body: dict[str, Any]) -> str:
        tasks = json.loads(answer(body))["tasks"]
        for task in tasks:
            task["output"] += " \ud83d"
        return json.dumps({"tasks": tasks})

    seeds = tmp_path / "seeds.jsonl"
    given = '"instances": [{"input": "", "output": "\\ude00 so"}]'
    seeds.write_text("".join(f'{{"instruction": "Name {n} things that float.", {given}}}\n' for n in range(4)))
    output = tmp_path / "r.jsonl"
    command = ["selfinstruct", "generate", "--quiet", "--model", "fake", "--count", "20", "--seeds", str(seeds)]
    with FakeOpenAI(with_halves, json_schema=True) as server:
        assert main([*command, "--base-url", server.url, "--output", str(output)]) == 0, capsys.readouterr().err
    records = [record for _, record in read_jsonl(output)]
    assert len(records) == 20 and all(record["output"].endswith(" \ufffd") for record in records)
    replies = read_json(tmp_path / "r.ledger.json")["ledgers"][0]
    assert replies["repaired"] == {"broken characters replaced": 17 * replies["kept"]}


def test_shipped_files_are_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["selfinstruct", "generate", "--quiet", "--model", "offline", "--count", "3", "--output", "r.jsonl"]
    shipped = ["--decontaminate", "eval/data/questions_single.jsonl", "--rules", "selfinstruct/data/rules_en.yaml"]
    assert main([*command, *shipped, "--seeds", "selfinstruct/data/seed_tasks.jsonl"]) == 0
