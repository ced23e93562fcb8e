"""The front door: quick, and one clear line for every mistake."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from camelid.app.cli import main

ROOT = Path(__file__).parents[3]


def camelid(*arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "camelid.app.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-X", "importtime", "-m", "camelid.app.cli", "--help"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1  # seconds of processor time
    imported = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in result.stderr.splitlines()}
    assert not imported & {"torch", "transformers", "openai", "numpy", "datasets", "accelerate"}
    for room in ("demo", "selfinstruct", "conversations", "weights", "finetune", "eval"):
        assert room in result.stdout


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    (tmp_path / "lines.jsonl").write_text('{"instruction": "a", "output": "b"}\n{"instruction": \n')
    (tmp_path / "good.jsonl").write_text('{"instruction": "a", "output": "b"}\n')
    (tmp_path / "array.json").write_text('[{"instruction": "a", "output": "b"},\n{"instr')
    (tmp_path / "seeds.jsonl").write_text('{"instruction": "a", "instances": []}\n')
    (tmp_path / "recipe.yaml").write_text("model:\n  pth: x\n")
    (tmp_path / "empty").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("finetune no.yaml", "no.yaml: no such file"),
        ("finetune recipes/alpaca-7.yaml", "no such file; did you mean 'recipes/alpaca-7b.yaml'?"),
        ("finetune alpaca-7b", "alpaca-7b: no such file; did you mean 'recipes/alpaca-7b.yaml'?"),
        (
            "weights new tinny {0}/m --data {0}/lines.jsonl --template alpaca",
            "did you mean 'recipes/models/tiny.yaml'?",
        ),
        ("finetune recipes/smoke.yaml data.train=[{{path:x.jsonl}}]", "YAML wants a space behind the colon"),
        ("finetune recipes/smoke.yaml lr=1", "unknown key 'lr'; did you mean 'optim.lr'?"),
        ("conversations convert {0}/lines.jsonl --output {0}/empty/../lines.jsonl", "is an input, too"),
        ("conversations convert {0}/good.jsonl --output {0}/empty", "{0}/empty: is a folder, expected a file"),
        ("conversations convert {0}/good.jsonl --output {0}/lines.jsonl/x", "{0}/lines.jsonl: File exists"),
        ("selfinstruct generate --count 1 --output {0}/x --model m --base-url localhost:1", "must begin with http://"),
        ("finetune {0}/nowhere/recipe.yaml", "no such file; there is no folder"),
        ("conversations convert {0}/aray.json --output {0}/x", "no such file; did you mean '{0}/array.json'?"),
        ("finetune {0}/recipe.yaml", "unknown key 'model.pth'; did you mean 'path'?"),
        ("finetune recipes/smoke.yaml optim.lrate=1", "unknown key 'optim.lrate'"),
        ("finetune recipes/smoke.yaml data.template=vicuna", "did you mean 'vicuna_v1.1'?"),
        ("finetune recipes/smoke.yaml --launch no.yaml", "no.yaml: no such file"),
        ("conversations convert {0}/no.json --output {0}/x", "no.json: no such file"),
        ("conversations convert {0}/array.json --output {0}/x", "array.json:2: broken JSON in record 1: the file ends"),
        ("selfinstruct generate --count 0 --output {0}/x", "--count must be at least 1"),
        ("selfinstruct generate --count 1 --output {0}/x --seeds {0}/seeds.jsonl", "seeds.jsonl:1: field 'instances'"),
        ("selfinstruct generate --count 1 --output {0}/x --model {0}/empty", "no model folder (it has no config.json)"),
        ("selfinstruct generate --count 1 --output {0}/x --model runs/typo/model", "no model folder (it is not there)"),
        ("selfinstruct generate --count 1 --output {0}/x --model gpt-4o", "no API key; set OPENAI_API_KEY"),
        ("selfinstruct generate --count 1 --output {0}/x --concurrency 0", "--concurrency must be at least 1"),
        ("selfinstruct generate --count 1 --output {0}/x --batch", "--batch: offline has no Batch API"),
        ("selfinstruct generate --count 1 --output {0}/x --price 1", "expected PROMPT,COMPLETION in USD"),
        (
            "selfinstruct generate --count 1 --output {0}/x --model m --base-url http://h/v1 --max-cost 1",
            "the price of m is not known; add --price PROMPT,COMPLETION",
        ),
        ("eval answer --questions {0}/no.jsonl --output {0}/e", "no.jsonl: no such file"),
        ("eval judge --questions eval/data/demo_questions.jsonl --output {0}/e", "run `camelid eval answer` first"),
        ("eval report --questions eval/data/demo_questions.jsonl --output {0}/e", "run `camelid eval judge` first"),
        ("weights new no.yaml {0}/m --data {0}/lines.jsonl --template alpaca", "no.yaml: no such file"),
        ("weights new recipes/models/tiny.yaml {0}/m --data {0}/no.jsonl --template alpaca", "no.jsonl: no such file"),
        (
            "weights new recipes/models/tiny.yaml {0}/m --data {0}/lines.jsonl --template alpac",
            "did you mean 'alpaca'?",
        ),
    ],
)
def test_mistakes_get_one_line(arguments: str, message: str, broken: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    result = camelid(*arguments.format(broken).split())
    assert result.returncode == 2, result.stderr
    [line] = result.stderr.splitlines()
    assert line.startswith("camelid: error: ") and message.format(broken) in line
    assert not (broken / "x").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            "convresations",
            "camelid: error: argument COMMAND: 'convresations' is unknown; did you mean 'conversations'?",
        ),
        ("frobnicate", "'frobnicate' is unknown; known: chat, completion, conversations, corpus, demo,"),
        ("eval anser", "'anser' is unknown; did you mean 'answer'?"),
        ("eval judge --mode singel --questions q --output o", "'singel' is unknown; did you mean 'single'?"),
        ("demo --recrods 4", "camelid demo: error: unrecognized arguments: --recrods 4; did you mean '--records'?"),
        ("conversations convert a.json --ouput x", "unrecognized arguments: --ouput; did you mean '--output'?"),
        ("finetune recipes/smoke.yaml --optim.lr=1", "write settings without dashes: optim.lr=1"),
        ("eval report --questions q", "arguments are required: --output; see `camelid eval report --help`"),
        ("demo --records many", "invalid int value: 'many'; see `camelid demo --help`"),
    ],
)
def test_a_wrong_word_gets_the_right_one(arguments: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments.split())
    assert stopped.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert message in line


def test_overrides_may_stand_behind_options() -> None:
    result = camelid("finetune", "recipes/smoke.yaml", "--quiet", "optim.lrate=1")
    assert "unknown key 'optim.lrate'" in result.stderr
    result = camelid("finetune", "recipes/smoke.yaml", "--quite", "optim.lr=1")
    assert result.returncode == 2 and "unrecognized arguments: --quite" in result.stderr
