"""docs/tune-a-chat-model.md at toy size: a chat model learns its user's chats and keeps the rest, by commands alone."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from camelid.app.cli import main
from camelid.files.read import read_json
from camelid.files.write import write_jsonl
from tests.toy_world import ROOT, SHAPE

CHAT_TEMPLATE = ROOT / "tests" / "conversations" / "tokens" / "chat_templates" / "llama-3.1.jinja"
# Each kind of question has one answer; those asked in the end are of the same kind, but in no chat.
TRAINED = ["red", "green", "blue", "white", "black", "brown", "yellow", "purple"]
ASKED = ["grey", "pink", "orange", "golden", "silver", "beige", "ivory", "violet", "scarlet", "amber"]
GENERAL = "How many {} cars are there in town?", "Nobody has counted them so far."
OWN = "Where do I find the {} key?", "Under the pot, as always."
KNOWN = "Say something {}.", "Always the pot, as under."  # an adapter teaches no words that the model has never seen


def camelid(*words: object) -> None:
    assert main([str(word) for word in words]) == 0, words


def write_chats(path: Path, question: str, answer: str) -> None:
    """As ShareGPT exports them."""
    turns = ([("human", question.format(word)), ("gpt", answer)] for word in TRAINED)
    rows = [{"conversations": [{"from": who, "value": text} for who, text in turn]} for turn in turns]
    path.write_text(json.dumps([{"id": str(number), **row} for number, row in enumerate(rows)]))


def write_questions(path: Path, question: str, answer: str) -> None:
    rows = ({"question": question.format(word), "reference": answer} for word in ASKED)
    write_jsonl(path, ({"question_id": at, **row} for at, row in enumerate(rows)))


def chat_model(folder: Path) -> Path:
    """A model that has learned some chats, with Llama 3.1's own template in its folder."""
    shape, new, model = folder / "shape.yaml", folder / "new", folder / "chat-model"
    shape.write_text(yaml.safe_dump(SHAPE | {"hidden_size": 64, "intermediate_size": 128}))
    write_chats(folder / "known.json", *KNOWN)
    chats = [folder / "general.json", folder / "known.json"]
    camelid("weights", "new", shape, new, "--data", *chats, folder / "mine.json", "--template", "llama-3")
    (new / "chat_template.jinja").write_text(CHAT_TEMPLATE.read_text(encoding="utf-8"))
    tree = {
        "model": {"path": str(new)},
        "data": {"train": [{"path": str(path)} for path in chats], "template": "tokenizer", "max_length": 256},
        "optim": {"lr": 5e-3, "global_batch": 4, "micro_tokens": 1024, "updates": 60},
        "run": {"output": str(folder / "before"), "precision": "fp32"},
    }
    (folder / "before.yaml").write_text(yaml.safe_dump(tree))
    camelid("finetune", folder / "before.yaml", "--quiet")
    shutil.move(folder / "before" / "model", model)
    return model


def evaluate(folder: Path, name: str, model: Path, label: str) -> None:
    where = ["--questions", folder / f"{name}.jsonl", "--output", folder / f"eval-{name}", "--quiet"]
    camelid("eval", "answer", *where, "--model", model, "--label", label, "--temperature", 0)


def test_own_chats_are_learned_and_the_rest_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_chats(tmp_path / "mine.json", *OWN)
    write_chats(tmp_path / "general.json", *GENERAL)
    for name, chats in (("domain", OWN), ("rest", GENERAL)):
        write_questions(tmp_path / f"{name}.jsonl", *chats)
    for name in ("mine", "general"):
        camelid(
            "conversations", "convert", tmp_path / f"{name}.json", "--output", tmp_path / f"{name}.jsonl", "--quiet"
        )
    model = chat_model(tmp_path)
    capsys.readouterr()
    camelid("conversations", "show", tmp_path / "mine.jsonl", "--template", "tokenizer", "--tokenizer", model)
    assert "26 Jul 2024" in capsys.readouterr().out.replace("│", ""), "the template's own date, not today's"
    for name in ("domain", "rest"):
        evaluate(tmp_path, name, model, "before")

    recipe, run = ROOT / "recipes" / "llama3.1-8b-instruct-lora.yaml", tmp_path / "run"
    sources = [{"path": str(tmp_path / "mine.jsonl")}, {"path": str(tmp_path / "general.jsonl"), "weight": 1}]
    toy = [f"model.path={model}", f"data.train={json.dumps(sources)}", "data.validation=0", "data.max_length=256"]
    toy += ["optim.lr=5e-3", "optim.epochs=20", "optim.micro_tokens=2048", "run.precision=fp32", f"run.output={run}"]
    camelid("finetune", recipe, *toy, "--plan")
    camelid("finetune", recipe, *toy, "--quiet")
    tuned = run / "model"
    camelid("weights", "merge", model, run / "adapter", tuned)
    assert (tuned / "chat_template.jinja").read_text() == (model / "chat_template.jinja").read_text()
    assert "<|eot_id|>" in (tuned / "README.md").read_text()

    for name in ("domain", "rest"):
        evaluate(tmp_path, name, tuned, "after")
        where = ["--questions", tmp_path / f"{name}.jsonl", "--output", tmp_path / f"eval-{name}", "--quiet"]
        camelid("eval", "judge", *where, "--model", "offline")
        camelid("eval", "report", *where)
    capsys.readouterr()
    page = tmp_path / "before-after.html"
    folders = [tmp_path / "eval-domain", tmp_path / "eval-rest"]
    camelid("eval", "compare", *folders, "--before", "before", "--after", "after", "--output", page)
    domain, rest = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| eval-")]
    assert domain.endswith("| up |") and "| +0.00 (" in rest and page.is_file(), (domain, rest)
    assert read_json(tmp_path / "eval-rest" / "results.json")["complete"]
