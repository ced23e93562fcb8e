"""A reward model's folder in transformers, and `camelid finetune score` on candidates and preferences."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from camelid.app.cli import main
from finetune.folders.merge import copy_tokenizer
from finetune.preference import reward_model as reward_module
from finetune.preference.reward_model import RewardModel
from tests.finetune.preference.truth import TEMPLATE, read, tokenise, write_preferences
from tests.finetune.runs import run

CONVERSATIONS = 12


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, toy_model: Path) -> Path:
    """A model whose tokenizer pads with the token that ends answers, as many published ones do."""
    folder = tmp_path_factory.mktemp("model") / "pads-with-end"
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "generation_config.json"):
        (folder / name).write_bytes((toy_model / name).read_bytes())
    copy_tokenizer([toy_model], folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_preferences(tmp_path_factory.mktemp("preferences") / "pairs.jsonl", CONVERSATIONS)


@pytest.fixture(scope="module")
def reward(tmp_path_factory: pytest.TempPathFactory, base: Path, pairs: Path) -> Path:
    """A reward model that was trained for two updates."""
    output = tmp_path_factory.mktemp("run") / "reward"
    recipe = {
        "kind": "reward",
        "model": {"path": str(base)},
        "data": {"train": [{"path": str(pairs)}], "template": TEMPLATE, "max_length": 256},
        "optim": {"lr": 1e-3, "global_batch": 6, "micro_tokens": 768, "updates": 2},
        "run": {"output": str(output), "precision": "fp32"},
    }
    assert run(recipe) == 0
    return output / "model"


def write_candidates(path: Path, pairs: Path) -> Path:
    """Each prompt with four answers."""
    records = read(pairs)
    with path.open("w") as file:
        for number, record in enumerate(records):
            others = [records[(number + step) % len(records)]["chosen"]["content"] for step in range(4)]
            answers = [{"content": text, "scores": {"older": 1.5}} for text in others]
            file.write(json.dumps({"id": record["id"], "prompt": record["prompt"], "answers": answers}) + "\n")
    return path


def scores_by_transformers(folder: Path, side: str, records: list[dict[str, Any]]) -> list[list[float]]:
    """All answers of a prompt as one padded batch."""
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side=side)
    found = []
    for record in records:
        answers = [tokenise(folder, record["prompt"], answer["content"]).ids.tolist() for answer in record["answers"]]
        batch = tokenizer.pad({"input_ids": answers}, return_tensors="pt")
        with torch.no_grad():
            found.append(model(**batch).logits[:, 0].tolist())
    return found


@pytest.mark.parametrize("side", ["left", "right"])
def test_transformers_reads_the_same_scores(
    reward: Path, pairs: Path, side: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    candidates = write_candidates(tmp_path / "candidates.jsonl", pairs)
    assert main(["finetune", "score", str(candidates), "--reward", f"quality={reward}", "--quiet"]) == 0
    records = read(candidates)
    theirs = scores_by_transformers(reward, side, records)
    for record, expected in zip(records, theirs, strict=True):
        assert [answer["scores"]["quality"] for answer in record["answers"]] == pytest.approx(expected, abs=1e-6)
        assert all(answer["scores"]["older"] == 1.5 for answer in record["answers"])
    assert len({round(score, 4) for scores in theirs for score in scores}) > CONVERSATIONS
    assert list(candidates.parent.iterdir()) == [candidates]  # no log is left


def test_padding_ends_no_answer(reward: Path, base: Path) -> None:
    before, after = (AutoTokenizer.from_pretrained(folder) for folder in (base, reward))
    assert before.pad_token_id == before.eos_token_id
    assert after.pad_token_id != after.eos_token_id
    config = json.loads((reward / "config.json").read_text())
    assert config["architectures"] == ["LlamaForSequenceClassification"]
    assert config["pad_token_id"] == after.pad_token_id and len(config["id2label"]) == 1


def test_answers_together_or_apart(reward: Path, pairs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However answers share a forward pass, and their prompt, their scores are the same."""
    from conversations.candidates import read_candidates

    path = write_candidates(pairs.with_name("together.jsonl"), pairs)
    model, prompts = RewardModel(reward), list(read_candidates(path))
    encoded = [model.encode(one.prompt, [answer.text().message() for answer in one.answers]) for one in prompts]
    assert not any(isinstance(each, str) for each in encoded)
    monkeypatch.setattr(reward_module, "SHARE", 0.0)
    together = torch.tensor(model.score(encoded))  # type: ignore[arg-type]
    monkeypatch.setattr(reward_module, "SHARE", 2.0)
    for number, one in enumerate(prompts):
        for index, answer in enumerate(one.answers):
            alone = model.encode(one.prompt, [answer.text().message()])
            assert not isinstance(alone, str)
            assert model.score([alone])[0][0] == pytest.approx(float(together[number, index]), abs=1e-5)


@pytest.mark.parametrize(
    ("broken", "says"),
    [("no-score", "missing tensor 'score.weight'"), ("language-model", "no reward model (LlamaForCausalLM)")],
)
def test_a_folder_without_its_score_layer_is_refused(
    broken: str, says: str, reward: Path, base: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = base
    if broken == "no-score":
        folder = tmp_path / "reward"
        folder.mkdir()
        for path in reward.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        tensors = load_file(folder / "model.safetensors")
        del tensors["score.weight"]
        save_file(tensors, folder / "model.safetensors")
    before = pairs.read_bytes()
    assert main(["finetune", "score", str(pairs), "--reward", f"q={folder}", "--quiet"]) == 2
    assert says in capsys.readouterr().err
    assert pairs.read_bytes() == before


def test_a_run_that_breaks_off_goes_on(
    reward: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same file as in one go, and no batch is computed twice."""
    monkeypatch.setattr(reward_module, "CPU_BATCH_TOKENS", 150)
    once, twice = tmp_path / "once.jsonl", tmp_path / "twice.jsonl"
    command = ["finetune", "score", str(pairs), "--reward", f"q={reward}", "--reward", f"r={reward}", "--quiet"]
    score, batches = RewardModel.score, list[int]()

    def counted(self: RewardModel, encoded: Any) -> Any:
        if len(batches) == stop:
            raise KeyboardInterrupt
        batches.append(len(encoded))
        return score(self, encoded)

    monkeypatch.setattr(RewardModel, "score", counted)
    stop = -1  # never
    assert main([*command, "--output", str(once)]) == 0
    whole = list(batches)
    assert len(whole) > 4
    batches.clear()
    for planned, status in ((len(whole) // 2 - 1, 130), (len(whole) - 1, 130), (-1, 0)):
        stop = planned
        assert main([*command, "--output", str(twice)]) == status
    assert batches == whole
    assert twice.read_bytes() == once.read_bytes()


def test_accuracy_and_calibration_of_known_scores(tmp_path: Path) -> None:
    """Counted by hand: of four pairs three are right, one of them a shorter answer."""
    from conversations.preference import AnswerText, Preference
    from finetune.preference.accuracy import accuracies, calibration

    def pair(grade: int | None, chosen: str, rejected: str) -> Preference:
        return Preference("p", (), AnswerText(chosen), AnswerText(rejected), grade)

    scored = [
        (pair(3, "longer", "short"), 2.0, 0.0),
        (pair(3, "a", "longer"), 0.5, 0.0),
        (pair(0, "longer", "b"), 0.0, 0.5),
        (pair(None, "same", "size"), 1.0, 1.0),
    ]
    by_name = {each.name: (each.pairs, each.accuracy) for each in accuracies(scored)}
    assert by_name == {
        "all pairs": (4, 0.625),
        "significantly better": (2, 1.0),
        "negligibly better": (1, 0.0),
        "no grade": (1, 0.5),
        "chosen answer longer": (2, 0.5),
        "chosen answer shorter": (1, 1.0),
    }
    steps, error = calibration(scored)
    assert [(step.pairs, step.accuracy) for step in steps] == [(1, 0.5), (2, 0.5), (1, 1.0)]
    assert [step.said for step in steps] == pytest.approx([0.5, 0.62245933, 0.88079708])
    assert error == pytest.approx((0.0 + 2 * 0.12245933 + 0.11920292) / 4)


def test_the_report_says_what_was_counted(
    reward: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, output = tmp_path / "report.html", tmp_path / "scored.jsonl"
    command = ["finetune", "score", str(pairs), "--reward", f"q={reward}", "--output", str(output)]
    assert main([*command, "--report", str(page), "--quiet"]) == 0
    scores = [record["meta"]["scores"]["q"] for record in read(output)]
    right = sum(chosen > rejected for chosen, rejected in scores) / len(scores)
    text = page.read_text()
    assert f"<td>all pairs</td><td>{len(scores)}</td><td>{right:.1%}</td>" in text
    assert "<svg" in text and "chosen answer shorter" in text and "http" not in text.replace("http://www.w3.org", "")
    assert f"all pairs {right:.1%} of {len(scores)}" in capsys.readouterr().out


@pytest.mark.slow
def test_killed_at_random_it_ends_with_the_same_file(reward: Path, pairs: Path, tmp_path: Path) -> None:
    many = tmp_path / "many.jsonl"
    with many.open("w") as file:
        for copy in range(150):
            file.writelines(json.dumps({**record, "id": f"{copy}-{record['id']}"}) + "\n" for record in read(pairs))
    truth, killed = tmp_path / "truth.jsonl", tmp_path / "killed.jsonl"
    rng = random.Random(7)

    def start(output: Path) -> subprocess.Popen[bytes]:
        arguments = ["finetune", "score", str(many), "--reward", f"q={reward}", "--output", str(output), "--quiet"]
        call = f"import sys; from camelid.app.cli import main; sys.exit(main({arguments!r}))"
        return subprocess.Popen([sys.executable, "-c", call], env={**os.environ, "OMP_NUM_THREADS": "1"})

    begun = time.monotonic()
    assert start(truth).wait() == 0
    seconds = time.monotonic() - begun
    kills = 0
    for _ in range(3):
        process = start(killed)
        time.sleep(rng.uniform(0.5, 0.98) * seconds)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
    assert start(killed).wait() == 0
    assert kills >= 1
    assert killed.read_bytes() == truth.read_bytes()
