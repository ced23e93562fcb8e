"""Runs on preferences: what they begin from, go on from, and leave."""

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from camelid.app.cli import main
from finetune.data.batches import MicroBatch
from finetune.engine.worker import Worker
from finetune.llama.model import Head, Llama
from finetune.preference import reference
from tests.finetune.preference.test_layouts import recipe
from tests.finetune.preference.truth import read, write_preferences
from tests.finetune.runs import ROOT, launch, metrics, run, tensors, variant, write


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_preferences(tmp_path_factory.mktemp("preferences") / "pairs.jsonl", 30)


@pytest.mark.parametrize("kind", ["none", "lora"])
def test_the_policy_begins_at_its_reference(kind: str, toy_model: Path, pairs: Path, tmp_path: Path) -> None:
    """The first loss is log 2, whether or not an adapter is trained: nothing has been gained yet."""
    ours = recipe("dpo", toy_model, pairs, tmp_path, 2)
    ours["adapter"] = {"kind": kind}
    ours["optim"]["warmup_ratio"] = 0.0  # or the first step would be none
    assert run(ours) == 0
    first, second = metrics(ours)
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert first["margin"] == pytest.approx(0.0, abs=1e-5) and second["loss"] != first["loss"]
    assert first["chosen_log_prob"] < 0 and 0 <= second["accuracy"] <= 1


def test_the_reference_is_found_once(
    toy_model: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that goes on has the same reference, whatever its weights are by then, and ends as if it never stopped."""
    whole = recipe("dpo", toy_model, pairs, tmp_path, 4)
    whole["optim"] |= {"schedule": "constant", "warmup_ratio": 0.0}
    assert run(whole) == 0
    parts = variant(whole, "parts", optim__updates=2)
    assert run(parts) == 0
    computed: list[Any] = []
    monkeypatch.setattr(reference, "compute_log_probs", lambda *args: computed.append(args))
    parts["optim"]["updates"] = 4
    assert run(parts) == 0
    assert not computed
    assert [line["loss"] for line in metrics(parts)] == [line["loss"] for line in metrics(whole)]
    for name, tensor in tensors(whole).items():
        assert torch.equal(tensor, tensors(parts)[name]), name


def reference_file(recipe: dict[str, Any]) -> Path:
    """The only one, and no log beside it."""
    [folder] = (Path(recipe["run"]["output"]) / "tokens").iterdir()
    [file] = folder.glob("*reference*")
    return file


def test_a_reference_that_breaks_off_goes_on(
    toy_model: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same file as in one go, to the byte, and no micro-batch is computed twice."""
    whole = recipe("dpo", toy_model, pairs, tmp_path, 1)
    score, batches = Worker.score, list[list[int]]()

    def counted(self: Worker, batch: MicroBatch, head: Head) -> Any:
        if len(batches) == stop:
            raise KeyboardInterrupt
        batches.append(batch.numbers.tolist())
        return score(self, batch, head)

    monkeypatch.setattr(Worker, "score", counted)
    stop = -1  # never
    assert run(whole) == 0
    in_one_go = list(batches)
    assert len(in_one_go) >= 6
    batches.clear()
    parts = variant(whole, "parts")
    for planned in (2, len(in_one_go) - 1):
        stop = planned
        with pytest.raises(KeyboardInterrupt):
            run(parts)
    stop = -1
    assert run(parts) == 0
    assert batches == in_one_go
    assert reference_file(parts).read_bytes() == reference_file(whole).read_bytes()


def test_a_reference_that_does_not_fit_is_cut(
    toy_model: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The model refuses more than 150 tokens at once; the numbers are the same."""
    roomy = recipe("dpo", toy_model, pairs, tmp_path, 1)
    assert run(roomy) == 0
    forward = Llama.forward

    def cramped(self: Llama, input_ids: torch.Tensor, *args: Any, **options: Any) -> Any:
        if input_ids.numel() > 150:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return forward(self, input_ids, *args, **options)

    monkeypatch.setattr(Llama, "forward", cramped)
    ours = variant(roomy, "cramped")
    assert run(ours) == 0
    assert "out of memory: micro-batches are cut into 2 parts from here on" in capsys.readouterr().out
    found, truth = (np.load(reference_file(one)) for one in (ours, roomy))
    np.testing.assert_allclose(found, truth, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_a_reference_that_is_killed_at_random_is_the_same(toy_model: Path, tmp_path: Path) -> None:
    pairs = write_preferences(tmp_path / "many.jsonl", 3000)
    whole = recipe("dpo", toy_model, pairs, tmp_path, 1)
    killed, rng = variant(whole, "killed"), random.Random(5)
    begun, log = Path(killed["run"]["output"]) / "tokens", 0

    def logged() -> int:
        return sum(path.read_bytes().count(b"\n") for path in begun.glob("*/.reference*.jsonl"))

    assert launch([whole], 1).returncode == 0
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-m", "finetune.train", str(write(killed)), "--quiet"], cwd=ROOT, start_new_session=True
        )
        until = log + rng.randint(5, 60)
        while logged() < until:
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert logged() >= until > log, "what was noted stays"
        log = logged()
    assert launch([killed], 1).returncode == 0
    assert reference_file(killed).read_bytes() == reference_file(whole).read_bytes()


def test_a_margin_of_0_is_none(toy_model: Path, pairs: Path, tmp_path: Path) -> None:
    """To the bit, in losses and weights."""
    file = tmp_path / "negligible.jsonl"
    file.write_text("".join(json.dumps({**record, "grade": 0}) + "\n" for record in read(pairs)))
    none = recipe("reward", toy_model, file, tmp_path, 3)
    assert run(none) == 0
    for margins in ("small", "large"):
        ours = variant(none, margins, reward__margins=margins)
        assert run(ours) == 0
        assert [line["loss"] for line in metrics(ours)] == [line["loss"] for line in metrics(none)]
        for name, tensor in tensors(none).items():
            assert torch.equal(tensor, tensors(ours)[name]), name


def test_held_out_preferences_are_measured(toy_model: Path, pairs: Path, tmp_path: Path) -> None:
    ours = recipe("reward", toy_model, pairs, tmp_path, 4)
    ours["data"]["validation"] = 0.4
    ours["run"]["evaluate_every"] = 2
    assert run(ours) == 0
    lines = read(Path(ours["run"]["output"]) / "validation.jsonl")
    assert [line["update"] for line in lines] == [2, 4]
    assert [line["loss"] for line in lines] == [
        line["validation_loss"] for line in metrics(ours) if line["validation_loss"] is not None
    ]
    assert all(0 <= line["accuracy"] <= 1 and "accuracy_grade_3" in line for line in lines)


def test_a_policy_says_how_long_its_answers_are_and_shows_its_curves(
    toy_model: Path, pairs: Path, tmp_path: Path
) -> None:
    ours = recipe("dpo", toy_model, pairs, tmp_path, 4)
    ours["data"]["validation"] = 0.4
    ours["run"]["evaluate_every"] = 2
    assert run(ours) == 0
    folder = Path(ours["run"]["output"])
    samples = read(folder / "samples.jsonl")
    for line in [line for line in metrics(ours) if line["validation_loss"] is not None]:
        lengths = [sample["tokens"] for sample in samples if sample["update"] == line["update"]]
        assert lengths and line["sampled_tokens"] == pytest.approx(sum(lengths) / len(lengths))
    chosen = [record["chosen"]["content"] for record in read(pairs)]
    assert all(any(sample["reference"] == text.strip() for text in chosen) for sample in samples)
    page = (folder / "curves.html").read_text()
    for title in ("Accuracy", "Margin", "Rewards", "Log-probabilities", "Length of sampled answers"):
        assert f"<h2>{title}</h2>" in page
    assert page.count("<svg") == 6 and "after 2 updates" in page and "after 4 updates" in page


def test_a_reward_model_is_no_start_for_a_policy(
    toy_model: Path,
    pairs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reward = recipe("reward", toy_model, pairs, tmp_path, 1)
    assert run(reward) == 0
    model = Path(reward["run"]["output"]) / "model"
    again = variant(reward, "again", model__path=str(model))  # but for another reward model
    assert run(again) == 0
    policy = recipe("dpo", model, pairs, tmp_path, 1)
    policy["run"]["output"] = str(tmp_path / "policy")
    assert run(policy) == 2
    assert "is a reward model" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", StringIO("Hello\n"))
    main(["chat", str(model)])  # says it of the question, and goes on with the next
    assert "a reward model gives scores and says nothing" in "".join(capsys.readouterr())
