"""Second witnesses: TRL 1.12's PPO (rewards, advantages, losses, gradients) and torchrl's advantages are the same."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import peers
from finetune.folders import weights
from finetune.folders.score_head import with_score
from finetune.llama.config import LlamaConfig
from finetune.objectives.advantages import generalised_advantages, token_rewards, whiten
from finetune.objectives.clipped_policy import ClippedPolicy
from finetune.objectives.clipped_values import ClippedValues
from finetune.ppo.rollouts import rollout_data
from tests.finetune.ppo.test_losses import one_update

pytestmark = pytest.mark.slow
CONFIG = LlamaConfig(
    vocab_size=300, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
    max_position_embeddings=256, bos_token_id=None, eos_token_id=2, initializer_range=0.2,
)  # fmt: skip
ANSWERS, PROMPT, NEW, BETA, VALUE_WEIGHT = 16, 10, 24, 0.05, 0.1
SEED = 7  # with which no padding is sampled, behind which TRL would see nothing


@pytest.fixture(scope="module")
def python() -> Path:
    try:
        return peers.ppo_python()
    except subprocess.CalledProcessError:
        pytest.skip("no package index to install TRL and torchrl from")


@pytest.fixture(scope="module")
def known(python: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What TRL knew in its second pass over the roll-outs, when its ratios were no longer 1; answers of full length."""
    folder = tmp_path_factory.mktemp("trl")
    weights.save_model(weights.init_model(CONFIG, seed=0).state_dict(), CONFIG, folder / "policy")
    scoring = with_score(CONFIG)
    weights.save_model(weights.init_model(scoring, seed=1).state_dict(), scoring, folder / "reward")
    prompts = np.random.default_rng(0).integers(3, 300, (ANSWERS, PROMPT)).tolist()
    job = {
        "policy": str(folder / "policy"), "reward": str(folder / "reward"), "output": str(folder / "out"),
        "prompts": prompts, "batch": ANSWERS, "micro_batch": ANSWERS, "minibatches": 1, "passes": 2, "iterations": 1,
        "lr": 3e-3, "new_tokens": NEW, "beta": BETA, "vocabulary": 300, "threads": 1, "stop": False, "seed": SEED,
        "keep": str(folder / "kept.pt"), "kept_pass": 2,
    }  # fmt: skip
    (folder / "job.json").write_text(json.dumps(job))
    script = Path(peers.__file__).with_name("ppo_trl.py")
    result = subprocess.run([str(python), str(script), str(folder / "job.json")], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    found: dict[str, Any] = torch.load(folder / "kept.pt")
    return found


def flat(values: torch.Tensor) -> np.ndarray[Any, Any]:
    return values.double().numpy().reshape(-1)


def test_rewards_and_advantages(known: dict[str, Any]) -> None:
    assert (known["mb_responses"] != 0).all()
    lengths = np.full(ANSWERS, NEW)
    rewards = token_rewards(flat(known["scores"]), flat(known["logprobs"] - known["ref_logprobs"]), BETA, lengths)
    np.testing.assert_allclose(rewards, flat(known["rewards"]), rtol=0, atol=1e-5)
    advantages, returns = generalised_advantages(rewards, flat(known["values"]), lengths, 1.0, 0.95)
    np.testing.assert_allclose(returns, flat(known["returns"]), rtol=0, atol=1e-5)
    sample = (ANSWERS * NEW / (ANSWERS * NEW - 1)) ** 0.5  # TRL's variance is the estimate for more tokens
    np.testing.assert_allclose(whiten(advantages) / sample, flat(known["advantages"]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("model", ["policy", "value_model"])
def test_losses_and_gradients(model: str, known: dict[str, Any]) -> None:
    ids = known["mb_query_responses"]
    data = rollout_data(ids[:, :PROMPT].tolist(), ids[:, PROMPT:].tolist(), 1000)
    assert data.pieces is not None
    prefix = f"{model}."
    state = {name.removeprefix(prefix): each for name, each in known["weights"].items() if name.startswith(prefix)}
    theirs = {name.removeprefix(prefix): each for name, each in known["gradients"].items() if name.startswith(prefix)}
    critic = model == "value_model"
    ours = weights.init_model(with_score(CONFIG) if critic else CONFIG, seed=0)
    ours.load_state_dict(state)
    objective: ClippedPolicy | ClippedValues
    if critic:
        objective = ClippedValues(data.pieces, flat(known["mb_values"]), flat(known["mb_return"]), 0.2)
    else:
        objective = ClippedPolicy(data.pieces, flat(known["mb_logprobs"]), flat(known["mb_advantage"]), 0.2)
    facts, found = one_update(ours, data, objective, 4, ANSWERS)
    assert facts.loss == pytest.approx(float(known["vf_loss" if critic else "pg_loss"]), rel=1e-5, abs=1e-6)
    assert facts.objective_facts["value_clip_share" if critic else "clip_share"] > 0.01
    assert found.keys() == theirs.keys()
    weight = VALUE_WEIGHT if critic else 1.0
    scale = max(float(gradient.abs().max()) for gradient in theirs.values())
    for name, gradient in found.items():
        torch.testing.assert_close(weight * gradient, theirs[name], rtol=0, atol=1e-5 * scale, msg=name)


TORCHRL = """
import json, sys, torch
from torchrl.objectives.value.functional import generalized_advantage_estimate as estimate
job = json.load(sys.stdin)
values, after, rewards, done = (torch.tensor(job[name], dtype=torch.float64)[..., None] for name in
                                ("values", "after", "rewards", "done"))
advantages, targets = estimate(job["gamma"], job["lambda"], values, after, rewards, done.bool(), done.bool())
print(json.dumps([advantages[..., 0].tolist(), targets[..., 0].tolist()]))
"""


@pytest.mark.parametrize(("gamma", "gae_lambda"), [(1.0, 0.95), (0.9, 0.7)])
def test_torchrl(gamma: float, gae_lambda: float, python: Path) -> None:
    random = np.random.default_rng(6)
    rewards, values = random.normal(size=(5, 17)), random.normal(size=(5, 17))
    after, done = np.zeros_like(values), np.zeros_like(values)
    after[:, :-1], done[:, -1] = values[:, 1:], 1
    job = {"gamma": gamma, "lambda": gae_lambda, "values": values.tolist(), "after": after.tolist()}
    job |= {"rewards": rewards.tolist(), "done": done.tolist()}
    result = subprocess.run([str(python), "-c", TORCHRL], input=json.dumps(job), capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-2000:]
    lengths = np.full(5, 17)
    ours = generalised_advantages(rewards.reshape(-1), values.reshape(-1), lengths, gamma, gae_lambda)
    for mine, theirs in zip(ours, json.loads(result.stdout.strip().splitlines()[-1]), strict=True):
        np.testing.assert_allclose(mine, np.array(theirs).reshape(-1), rtol=0, atol=1e-5)
