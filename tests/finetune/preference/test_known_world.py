"""A world whose preferences are drawn from known rewards (Bradley and Terry 1952): what is learned is the truth.

An answer is eight words of thirteen, its reward the sum of its words' values; who prefers which answer is drawn with
probability sigmoid(difference). Seeds are fixed beforehand.
"""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from accelerate import Accelerator
from transformers import AutoTokenizer

from camelid.app.cli import main
from finetune.data.preference_data import load_preferences
from finetune.engine.worker import Worker
from finetune.folders import weights
from finetune.preference.reference import compute_log_probs
from finetune.recipe import DataSource, PreferenceDataSection
from tests.finetune.conftest import WORDS
from tests.finetune.preference.truth import TEMPLATE, read
from tests.finetune.runs import run

PAIRS, TESTED, LENGTH, SEED = 12_000, 2_000, 8, 11
PROMPTS = ["red cat", "blue dog", "green bird", "small house"]
CLASSES = (0.0, 0.5, 1.5, 3.0, np.inf)  # of the true difference
Floats = npt.NDArray[np.float64]


def write_world(path: Path, count: int, seed: int, flipped: float = 0.0) -> Floats:
    """Write preferences; return the true difference of each, chosen less rejected."""
    values = np.random.default_rng(SEED).normal(0.0, 0.6, len(WORDS))
    random = np.random.default_rng([SEED, seed])
    differences = []
    with path.open("w") as file:
        for number in range(count):
            answers = random.integers(0, len(WORDS), (2, LENGTH))
            rewards = values[answers].sum(1)
            first = random.random() < 1 / (1 + np.exp(rewards[1] - rewards[0]))
            if random.random() < flipped:
                first = not first
            order = [0, 1] if first else [1, 0]
            chosen, rejected = ({"content": " ".join(WORDS[word] for word in answers[index])} for index in order)
            prompt = [{"role": "user", "content": PROMPTS[number % len(PROMPTS)]}]
            record = {"id": f"{number}", "prompt": prompt, "chosen": chosen, "rejected": rejected, "grade": None}
            file.write(json.dumps({**record, "source": "human/drawn", "meta": {}}) + "\n")
            differences.append(rewards[order[0]] - rewards[order[1]])
    return np.array(differences)


def train(kind: str, model: Path, data: Path, folder: Path, section: dict[str, Any]) -> Path:
    recipe = {
        "kind": kind,
        "model": {"path": str(model)},
        "data": {"train": [{"path": str(data)}], "template": TEMPLATE, "max_length": 256},
        "optim": {"lr": 3e-3, "global_batch": 64, "micro_tokens": 8192, "epochs": 2, "least_warmup": 10},
        "run": {"output": str(folder / kind), "precision": "fp32", "checkpoint_every": 1000},
        kind: section,
    }
    assert run(recipe) == 0
    return folder / kind / "model"


def scored(folder: Path, data: Path, output: Path) -> Floats:
    """What a reward model thinks of each pair: chosen less rejected."""
    arguments = ["finetune", "score", str(data), "--reward", f"r={folder}", "--output", str(output), "--quiet"]
    assert main(arguments) == 0
    both = np.array([record["meta"]["scores"]["r"] for record in read(output)])
    return np.asarray(both[:, 0] - both[:, 1])


def implied(folder: Path, base: Path, data: Path, cache: Path, beta: float) -> Floats:
    """What a policy's implicit reward says of each pair."""
    section = PreferenceDataSection((DataSource(str(data)),), TEMPLATE, max_length=256)
    loaded = load_preferences(cache, section, AutoTokenizer.from_pretrained(base), 0, "pairs")
    sums = []
    for place in (folder, base):
        model = weights.load_model(place, torch.float32)
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        worker = Worker(Accelerator(cpu=True), model, model, optimizer, "none", False, 0, 1, 16 * 256, 0.0)
        sums.append(compute_log_probs(worker, loaded, quiet=True).reshape(-1, 2))
    gained = beta * (sums[0] - sums[1])
    return np.asarray(gained[:, 0] - gained[:, 1])


def assert_is_the_truth(learned: Floats, true: Floats) -> None:
    """Correlation, slope, accuracy in each class of margins, calibration."""
    correlation, slope = np.corrcoef(learned, true)[0, 1], learned @ true / (true @ true)
    print(f"correlation {correlation:.4f}, slope {slope:.4f}")
    assert correlation >= 0.97
    assert 0.9 <= slope <= 1.1
    limit = true > 0  # the Bayes limit on these very labels: that the better answer was preferred
    chance = 1 / (1 + np.exp(-np.abs(true)))
    for low, high in pairwise(CLASSES):
        inside = (np.abs(true) >= low) & (np.abs(true) < high)
        right, best = (learned[inside] > 0).mean(), limit[inside].mean()
        error = np.sqrt((chance[inside] * (1 - chance[inside])).sum()) / inside.sum()
        print(f"  margin {low} to {high}: {inside.sum()} pairs, right {right:.3f}, limit {best:.3f} +- {error:.3f}")
        assert right >= best - 2 * error and right <= best + 2 * error, (low, high)
    said = 1 / (1 + np.exp(-np.abs(learned)))
    steps = np.minimum(9, ((said - 0.5) * 20).astype(int))
    gaps = [abs(((learned > 0)[steps == step] - said[steps == step]).sum()) for step in range(10)]
    calibration = sum(gaps) / len(learned)
    print(f"  calibration error {calibration:.4f}")
    assert calibration <= 0.03


@pytest.mark.slow
def test_rewards_are_the_truth(toy_model: Path, tmp_path: Path) -> None:
    write_world(tmp_path / "train.jsonl", PAIRS, 0)
    true = write_world(tmp_path / "test.jsonl", TESTED, 1)
    reward = train("reward", toy_model, tmp_path / "train.jsonl", tmp_path, {})
    assert_is_the_truth(scored(reward, tmp_path / "test.jsonl", tmp_path / "scored.jsonl"), true)


@pytest.mark.slow
def test_implicit_rewards_are_the_truth(toy_model: Path, tmp_path: Path) -> None:
    write_world(tmp_path / "train.jsonl", PAIRS, 0)
    true = write_world(tmp_path / "test.jsonl", TESTED, 1)
    policy = train("dpo", toy_model, tmp_path / "train.jsonl", tmp_path, {"beta": 0.5})
    assert_is_the_truth(implied(policy, toy_model, tmp_path / "test.jsonl", tmp_path / "cache", 0.5), true)


@pytest.mark.slow
def test_flipped_labels_lower_the_slope_as_computed(toy_model: Path, tmp_path: Path) -> None:
    """With a fifth of them flipped the best score is the logit of 0.8 p + 0.2 (1 - p), p = sigmoid(difference)."""
    write_world(tmp_path / "train.jsonl", PAIRS, 0, flipped=0.2)
    true = write_world(tmp_path / "test.jsonl", TESTED, 1)
    reward = train("reward", toy_model, tmp_path / "train.jsonl", tmp_path, {})
    learned = scored(reward, tmp_path / "test.jsonl", tmp_path / "scored.jsonl")
    chance = 0.2 + 0.6 / (1 + np.exp(-true))
    best = np.log(chance / (1 - chance))
    slope, expected = learned @ true / (true @ true), best @ true / (true @ true)
    print(f"slope {slope:.3f}, computed {expected:.3f}")
    assert slope == pytest.approx(expected, abs=0.1) and expected < 0.6
    assert np.corrcoef(learned, true)[0, 1] >= 0.95  # the order stays
