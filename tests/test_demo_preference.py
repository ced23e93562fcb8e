"""What `camelid demo --preference` says of itself: preferences make a better model than data alone."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from camelid.app.demo_preference import MODELS, START
from camelid.files.read import read_json, read_jsonl

OFFER = "Please tell me if I can help you any further."
LIMIT = 6 * 60  # seconds, on 2 cores that nobody else uses
COMMAND = [sys.executable, "-m", "camelid.app.cli", "demo", "--preference", "--output", "run"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    began = time.monotonic()
    result = subprocess.run(COMMAND, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    seconds = time.monotonic() - began
    print(f"{seconds:.0f} s (the limit on 2 quiet cores: {LIMIT} s)")
    print(result.stdout.partition("What came out")[2])
    return folder / "run"


def asked(path: Path) -> set[str]:
    return {f"{record['instruction']} {record['input']}" for _, record in read_jsonl(path)}


@pytest.mark.slow
def test_every_model_that_learned_from_preferences_beats_the_tuned_one(run: Path) -> None:
    board = read_json(run / "preferred" / "results.json")["boards"][0]
    scores: dict[str, Any] = {row["label"]: row["score"] for row in board["rows"]}
    wins = {met["first"]: met["win_rate"] for met in board["meetings"] if met["second"] == START}
    assert board["complete"] and set(scores) == set(MODELS)
    for label in set(MODELS) - {START}:
        assert wins[label]["low"] > 50, (label, wins)
        assert scores[label]["low"] > scores[START]["high"], (label, scores)


@pytest.mark.slow
def test_what_is_asked_in_the_end_was_never_trained_on(run: Path) -> None:
    held_out = asked(run / "questions.jsonl")
    assert len(held_out) == 300
    for name in ("instructions", "courteous", "prompts"):
        assert not held_out & asked(run / f"{name}.jsonl"), name
    chats = (run / "conversations.jsonl").read_text(encoding="utf-8")
    assert not any(json.dumps(question)[1:-1] in chats for question in held_out)


@pytest.mark.slow
def test_the_reward_model_knows_what_is_preferred_and_ppo_follows_it(run: Path) -> None:
    right = []
    for _, pair in read_jsonl(run / "scored.jsonl"):
        chosen, rejected = pair["meta"]["scores"]["helpful"]
        if (OFFER in pair["chosen"]["content"]) != (OFFER in pair["rejected"]["content"]):
            right.append(chosen > rejected)
    assert len(right) > 100 and sum(right) / len(right) > 0.95
    iterations = [line for _, line in read_jsonl(run / "ppo" / "metrics.jsonl") if "kl" in line]
    assert len(iterations) == 20
    assert iterations[-1]["reward"] > iterations[0]["reward"] and 0 < iterations[-1]["kl"] < 10
    answers = {label: (run / "preferred" / "answers" / f"{label}.jsonl").read_text() for label in MODELS}
    offers = {label: text.count(OFFER) / 300 for label, text in answers.items()}
    assert 0.2 < offers[START] < 0.8 < offers["ppo"], offers
