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
from finetune.data.preference_data import PreferenceData
from finetune.engine.update import run_update
from finetune.objectives.dpo import Dpo
from finetune.objectives.kto import Kto
from finetune.objectives.orpo import Orpo
from finetune.objectives.policy import Policy, PolicyLoss
from finetune.objectives.reward import MARGINS, Reward
from finetune.objectives.simpo import Simpo
from finetune.preference.reference import compute_log_probs
from finetune.preference_sections import DpoSection, KtoSection, OrpoSection, SimpoSection
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


# Our loss, and what TRL calls it; the forms of DPO, whose reference is another model, at the benchmark's beta.
LOSSES: dict[str, tuple[PolicyLoss, dict[str, Any]]] = {
    "sigmoid": (Dpo(DpoSection(beta=bench.BETA)), {"kind": "dpo", "loss": "sigmoid"}),
    "ipo": (Dpo(DpoSection(loss="ipo", beta=bench.BETA)), {"kind": "dpo", "loss": "ipo"}),
    "norm": (Dpo(DpoSection(loss="norm", beta=bench.BETA)), {"kind": "dpo", "loss": "sigmoid_norm"}),
    "kto": (Kto(KtoSection(beta=bench.BETA, unwanted=1.5)), {"kind": "kto", "unwanted": 1.5}),
    "orpo": (Orpo(OrpoSection(weight=0.25)), {"kind": "orpo", "beta": 0.25}),
    "simpo": (Simpo(SimpoSection(beta=2.5, margin=1.4)), {"kind": "simpo", "beta": 2.5, "margin": 1.4}),
}
LONGEST = 200  # tokens of an answer; tests/finetune/preference/test_losses.py has 2,000
# Sequences of TRL's forward pass. KTO's statistic is that of a forward pass there, and ORPO's chosen answers are
# averaged over its tokens, of all answers in it together.
BATCHES = {"kto": bench.PAIRS, "orpo": 1}


def pairs_of(case: str) -> list[bench.Pair]:
    pairs = [
        {**pair, **{side: [*pair[side][:-1][: LONGEST - 1], bench.END] for side in ("chosen", "rejected")}}
        for pair in bench.draw_pairs("short", seed=3)
    ]
    if case == "reward-margins":
        return [{**pair, "margin": MARGINS["large"][number % 4]} for number, pair in enumerate(pairs)]
    if case == "kto":  # beside each answer the one before it, as TRL pairs them
        before = [pairs[-1], *pairs[:-1]]
        both = enumerate(zip(pairs, before, strict=True))
        return [{**pair, "rejected": other["chosen"], "label": number % 3 > 0} for number, (pair, other) in both]
    if case == "orpo":  # TRL's trains the prompt, too; of one token nothing is trained
        return [{**pair, "prompt": pair["prompt"][:1]} for pair in pairs]
    return pairs


def objective_of(case: str, data: PreferenceData, pairs: list[bench.Pair], reference: Path) -> Policy | Reward:
    if case.startswith("reward"):
        grades = np.arange(len(pairs), dtype=np.int8) % 4
        return Reward("large" if case == "reward-margins" else "none", 0.0, data.labels, grades)
    labels = data.labels.copy()
    if case == "kto":
        labels[::2] = [pair["label"] for pair in pairs]
    loss, log_probs = LOSSES[case][0], None
    if loss.wants_reference:
        longest = int(data.tokens.lengths.max())
        log_probs = compute_log_probs(bench.worker_of(reference, longest), data, quiet=True)
    return Policy(loss, labels, data.grades, log_probs)


@pytest.mark.parametrize("case", [*LOSSES, "reward", "reward-margins"])
def test_the_same_loss_and_gradients(
    case: str, python: Path, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = pairs_of(case)
    data = bench.data_of(pairs, lambda each: True)
    section = PreferenceDataSection((DataSource("memory"),), "tokenizer", max_length=int(data.tokens.lengths.max()))
    plan = Plan(data.tokens, section, OptimSection(lr=1e-6, global_batch=len(pairs), updates=1), seed=0)
    policy = folders["reward" if case.startswith("reward") else "policy"]
    worker = bench.worker_of(policy, int(data.tokens.lengths.max()))
    found: dict[str, torch.Tensor] = {}

    def note() -> tuple[float, bool]:
        named = worker.unwrapped.named_parameters()
        found.update({name: weight.grad.clone() for name, weight in named if weight.grad is not None})
        return 0.0, True

    monkeypatch.setattr(worker, "step", note)
    objective = objective_of(case, data, pairs, folders["reference"])
    facts = run_update(worker, plan, 0, 0.0, objective, lambda: False, lambda: None)
    assert facts is not None
    batch = BATCHES.get(case, 8)
    job = {
        "kind": "reward", "pairs": pairs, "policy": str(policy), "reference": str(folders["reference"]),
        "batch": batch, "accumulation": len(pairs) // batch, "steps": 1, "sampling": "sequential",
        "vocabulary": bench.CONFIG.vocab_size, "beta": bench.BETA, "kept": False, "recompute": False,
    }  # fmt: skip
    loss, expected = theirs(job | (LOSSES[case][1] if case in LOSSES else {}), python)
    assert facts.loss == pytest.approx(loss, rel=2e-5)
    assert found.keys() == expected.keys()
    scale = max(float(gradient.abs().max()) for gradient in expected.values())
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], rtol=0, atol=2e-5 * scale, msg=name)
