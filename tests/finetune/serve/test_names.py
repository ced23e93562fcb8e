"""What a model is called that nobody named, and the system message it has by itself."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import httpx2 as httpx
import pytest

from camelid.app.cli import build_parser, main
from camelid.app.open_model import open_model
from camelid.files.model_name import model_name
from finetune.serve.served import ServedModel, open_served
from tests.finetune.serve.serving import Running, serving

CARD = "---\nbase_model: x\ntags: [camelid, llama, instruction-tuning]\n---\n\n# {}\n\nTuned.\n"


@pytest.fixture
def run(lively_model: Path, tmp_path: Path) -> Path:
    """A run's model, with the card that training writes."""
    folder = tmp_path / "runs" / "helpful" / "model"
    shutil.copytree(lively_model, folder)
    (folder / "README.md").write_text(CARD.format("helpful"))
    return folder


@pytest.mark.parametrize(
    ("place", "card", "name"),
    [
        ("runs/x/model", CARD.format("helpful"), "helpful"),
        ("runs/x/model", CARD.format("model"), "x"),  # merged into its run's folder
        ("runs/x/adapter", None, "x"),
        ("models/Llama-2-7b", "# Llama 2\n\nA model by somebody else.\n", "Llama-2-7b"),
        ("models/Llama-2-7b/", None, "Llama-2-7b"),
    ],
)
def test_what_people_call_it(tmp_path: Path, place: str, card: str | None, name: str) -> None:
    folder = tmp_path / place
    folder.mkdir(parents=True)
    if card:
        (folder / "README.md").write_text(card)
    assert model_name(folder) == name


def test_server_and_evaluation_call_it_the_same(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert open_served(run).name == "helpful"
    args = build_parser().parse_args(["eval", "answer", "--questions", "q", "--output", "o", "--model", str(run)])
    assert open_model(args, run / "journal").label == "helpful"
    monkeypatch.chdir(run)
    assert open_served(".").name == "helpful"
    assert main(["serve", str(run), f"helpful={run}"]) == 2
    assert "second model named 'helpful'" in capsys.readouterr().err


def said(server: Running, *messages: tuple[str, str]) -> str:
    turns = [{"role": role, "content": text} for role, text in messages]
    body = {"model": "lively", "messages": turns, "temperature": 0, "max_tokens": 12}
    return json.dumps(httpx.post(server.url + "/chat/completions", json=body).json()["choices"])


def test_a_system_message_of_its_own(served: ServedModel, tmp_path: Path) -> None:
    ask, kind, brief = ("user", "red cat"), ("system", "be kind"), ("system", "be brief")
    with serving([served], tmp_path) as plain, serving([replace(served, system="be kind")], tmp_path) as own:
        assert said(own, ask) == said(plain, kind, ask) != said(plain, ask)
        assert said(own, brief, ask) == said(plain, brief, ask)


@pytest.mark.parametrize("option", ["x", "x=", "y=file", "x=nowhere"])
def test_what_is_no_system_message(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "x=folder", "--system", option]) == 2
    assert capsys.readouterr().err.count("\n") == 1
