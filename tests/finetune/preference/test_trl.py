"""A second witness: TRL 1.16 makes the same loss and gradients of the same pairs, to float32's rounding."""

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import preference as bench
from benchmarks.peers import trl_python
from finetune.data.batches import Plan
from finetune.engine.update import run_update
from finetune.objectives.dpo import Dpo
from finetune.objectives.policy import Policy
from finetune.objectives.reward import MARGINS, Reward
from finetune.preference.reference import compute_log_probs
from finetune.preference_sections import DpoSection
from finetune.recipe import DataSource, OptimSection, PreferenceDataSection

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def python() -> Path:
    try:
        return trl_python()
    except subprocess.CalledProcessError:
        pytest.skip("no package index to install TRL from")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return bench.make_folders(tmp_path_factory.mktemp("models"))


def theirs(job: dict[str, Any], python: Path) -> tuple[float, dict[str, torch.Tensor]]:
    with tempfile.TemporaryDirectory() as folder:
        gradients = Path(folder) / "gradients.pt"
        file = Path(folder) / "job.json"
        file.write_text(json.dumps({**job, "output": folder, "gradients": str(gradients)}))
        command = [str(python), str(Path(bench.__file__).with_name("preference_trl.py")), str(file)]
        result = subprocess.run(command, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr[-3000:]
        return json.loads(result.stdout.strip().splitlines()[-1])["loss"], torch.load(gradients)


@pytest.mark.parametrize("case", ["sigmoid", "ipo", "norm", "reward", "reward-margins"])
def test_the_same_loss_and_gradients(
    case: str, python: Path, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = bench.draw_pairs("short", seed=3)
    grades = np.arange(len(pairs)) % 4
    if case == "reward-margins":
        pairs = [{**pair, "margin": MARGINS["large"][grade]} for pair, grade in zip(pairs, grades, strict=True)]
    data = bench.data_of(pairs, lambda each: True)
    longest = int(data.tokens.lengths.max())
    section = PreferenceDataSection((DataSource("memory"),), "tokenizer", max_length=longest)
    plan = Plan(data.tokens, section, OptimSection(lr=1e-6, global_batch=len(pairs), updates=1), seed=0)
    reward = case.startswith("reward")
    worker = bench.worker_of(folders["reward" if reward else "policy"])
    objective: Policy | Reward
    if reward:
        margins = "large" if case == "reward-margins" else "none"
        objective = Reward(margins, 0.0, data.labels, grades.astype(np.int8))
    else:
        reference = compute_log_probs(bench.worker_of(folders["reference"]), data, longest, quiet=True)
        section_of = DpoSection(loss=case, beta=bench.BETA)  # type: ignore[arg-type]
        objective = Policy(Dpo(section_of), data.labels, data.grades, reference)
    found: dict[str, torch.Tensor] = {}

    def note() -> tuple[float, bool]:
        named = worker.unwrapped.named_parameters()
        found.update({name: weight.grad.clone() for name, weight in named if weight.grad is not None})
        return 0.0, True

    monkeypatch.setattr(worker, "step", note)
    facts = run_update(worker, plan, 0, 0.0, objective, lambda: False, lambda: None)
    assert facts is not None
    job = {
        "kind": "reward" if reward else "dpo", "pairs": pairs, "policy": str(folders["reward" if reward else "policy"]),
        "reference": str(folders["reference"]), "batch": 8, "accumulation": len(pairs) // 8, "steps": 1,
        "sampling": "sequential", "vocabulary": bench.CONFIG.vocab_size, "beta": bench.BETA, "kept": False,
        "recompute": False, "loss": "sigmoid_norm" if case == "norm" else case,
    }  # fmt: skip
    loss, expected = theirs(job, python)
    assert facts.loss == pytest.approx(loss, rel=2e-5)
    assert found.keys() == expected.keys()
    scale = max(float(gradient.abs().max()) for gradient in expected.values())
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], rtol=0, atol=2e-5 * scale, msg=name)
