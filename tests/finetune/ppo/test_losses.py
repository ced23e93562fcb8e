"""Losses and every gradient against plain transformers in float64, one answer at a time, up to 2,000 tokens."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import Tensor

from finetune.data.token_data import TokenData
from finetune.engine.update import UpdateFacts, run_update
from finetune.engine.worker import Worker
from finetune.folders import weights
from finetune.folders.score_head import with_score
from finetune.llama.config import LlamaConfig
from finetune.llama.model import Llama
from finetune.objectives.clipped_policy import ClippedPolicy
from finetune.objectives.clipped_values import ClippedValues
from finetune.ppo.rollouts import RollOutPlan, rollout_data
from tests.finetune.preference import truth

PROMPTS, ANSWERS, CLIP, KL = 3, 2, 0.2, 0.3


@dataclass
class Case:
    """Answers to prompts, and what is known of each token, in float64."""

    prompts: list[list[int]]
    answers: list[list[int]]
    old: np.ndarray[Any, Any]
    advantages: np.ndarray[Any, Any]
    reference: np.ndarray[Any, Any]
    values: np.ndarray[Any, Any]
    returns: np.ndarray[Any, Any]


@pytest.fixture(scope="module", params=[60, pytest.param(1900, marks=pytest.mark.slow)], ids=["short", "2000-tokens"])
def case(request: pytest.FixtureRequest, toy_model: Path) -> Case:
    """Log-probabilities when sampled are near those by now, so that some ratios are clipped and some are not."""
    random = np.random.default_rng(5)
    longest = request.param
    prompts = [random.integers(3, 400, random.integers(4, 30)).tolist() for _ in range(PROMPTS)]
    sizes = [*random.integers(1, 30, PROMPTS * ANSWERS - 2), longest, longest - 40]
    answers = [random.integers(3, 400, size).tolist() for size in sizes]
    model = truth.policy(toy_model)
    with torch.no_grad():
        now = torch.cat([token_log_probs(model, *each) for each in pairs(prompts, answers)]).numpy()
    noise = [random.normal(0, spread, now.size) for spread in (0.3, 1.0, 0.4, 0.5, 0.5)]
    return Case(prompts, answers, now + noise[0], noise[1], now + noise[2], noise[3], noise[3] + noise[4])


def pairs(prompts: list[list[int]], answers: list[list[int]]) -> list[tuple[list[int], list[int]]]:
    return [(prompts[number // ANSWERS], answer) for number, answer in enumerate(answers)]


def token_log_probs(model: Any, prompt: list[int], answer: list[int]) -> Tensor:
    logits = model(torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1]
    found: Tensor = logits.log_softmax(-1).gather(1, torch.tensor(answer)[:, None])[:, 0]
    return found


def per_answer(case: Case, values: np.ndarray[Any, Any]) -> list[Tensor]:
    return list(torch.from_numpy(values).split([len(answer) for answer in case.answers]))


def policy_loss(counts: str) -> Callable[[Any, Case], Tensor]:
    """Schulman et al. 2017, equation 7; Ahmadian et al. 2024; Shao et al. 2024, equation 3 with its KL (equation 4)."""

    def loss(model: Any, case: Case) -> Tensor:
        total, tokens = torch.zeros((), dtype=torch.float64), 0
        known = (per_answer(case, each) for each in (case.old, case.advantages, case.reference))
        for (prompt, answer), old, advantage, reference in zip(pairs(case.prompts, case.answers), *known, strict=True):
            now = token_log_probs(model, prompt, answer)
            ratio = torch.exp(now - old)
            each = -torch.min(ratio * advantage, torch.clip(ratio, 1 - CLIP, 1 + CLIP) * advantage)
            if counts == "answer's mean":
                each = (each + KL * (torch.exp(reference) / torch.exp(now) - (reference - now) - 1)) / len(answer)
            total, tokens = total + each.sum(), tokens + len(answer)
        return total / (tokens if counts == "token" else len(case.answers))

    return loss


def value_loss(model: Any, case: Case) -> Tensor:
    total, tokens = torch.zeros((), dtype=torch.float64), 0
    for (prompt, answer), old, wanted in zip(
        pairs(case.prompts, case.answers), per_answer(case, case.values), per_answer(case, case.returns), strict=True
    ):
        hidden = model.model(torch.tensor([[*prompt, *answer]])).last_hidden_state[0, len(prompt) - 1 : -1]
        value = hidden @ model.score.weight[0]
        near = old + torch.clip(value - old, -CLIP, CLIP)
        total = total + torch.max((value - wanted) ** 2, (near - wanted) ** 2).sum()
        tokens += len(answer)
    return 0.5 * total / tokens


@pytest.fixture(scope="module")
def critic(tmp_path_factory: pytest.TempPathFactory, toy_model: Path) -> Path:
    folder = tmp_path_factory.mktemp("model") / "critic"
    config = with_score(LlamaConfig.from_folder(toy_model))
    model = truth.move(weights.load_model(toy_model, torch.float64, config=config, seed=3))
    weights.save_model(model.state_dict(), config, folder)
    return folder


def one_update(
    model: Llama, data: TokenData, objective: Any, together: int, prompts: int = PROMPTS
) -> tuple[UpdateFacts, dict[str, Tensor]]:
    """Facts and gradients of an update with every answer in it, with room for so many of the longest in a pass."""
    micro_tokens = together * int(data.lengths.max())
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    worker = Worker(Accelerator(cpu=True), model, model, optimizer, "none", False, 0, 1, micro_tokens, 0.0)
    found: dict[str, Tensor] = {}

    def note() -> tuple[float, bool]:
        named = model.named_parameters()
        found.update({name: weight.grad.clone() for name, weight in named if weight.grad is not None})
        return 0.0, True

    worker.step = note  # type: ignore[method-assign]
    plan = RollOutPlan(data, int(data.lengths.max()), 0, 0, prompts)
    facts = run_update(worker, plan, 0, 0.0, objective, lambda: False, lambda: None)
    assert facts is not None
    return facts, found


@pytest.fixture(scope="module")
def truths(toy_model: Path, critic: Path, case: Case) -> dict[str, tuple[float, dict[str, Tensor]]]:
    found = {}
    for name in ("token", "answer", "answer's mean", "critic"):
        model = truth.scorer(critic) if name == "critic" else truth.policy(toy_model)
        loss = value_loss(model, case) if name == "critic" else policy_loss(name)(model, case)
        found[name] = float(loss.detach()), truth.gradients(model, loss)
    return found


@pytest.mark.parametrize("name", ["token", "answer", "answer's mean", "critic"])
@pytest.mark.parametrize(
    ("dtype", "share_from", "together"),
    [(torch.float64, 0.0, 2), (torch.float64, 2.0, 1), (torch.float32, 0.25, 4)],
    ids=["float64-shared", "float64-apart", "float32"],
)
def test_loss_and_gradients_are_the_truths(
    name: str, dtype: torch.dtype, share_from: float, together: int, toy_model: Path, critic: Path, case: Case,
    truths: dict[str, tuple[float, dict[str, Tensor]]],
) -> None:  # fmt: skip
    data = rollout_data(case.prompts, case.answers, 100_000, share_from)
    assert data.pieces is not None
    objective: ClippedPolicy | ClippedValues
    if name == "critic":
        model = weights.load_model(critic, dtype)
        objective = ClippedValues(data.pieces, case.values, case.returns, CLIP)
    else:
        model = truth.move(weights.load_model(toy_model, dtype))
        kl = KL if name == "answer's mean" else 0.0
        objective = ClippedPolicy(data.pieces, case.old, case.advantages, CLIP, name, kl, case.reference)  # type: ignore[arg-type]
    facts, ours = one_update(model, data, objective, together)
    loss, theirs = truths[name]
    exact = dtype == torch.float64
    assert facts.loss == pytest.approx(loss, rel=1e-9 if exact else 1e-6)
    share = facts.objective_facts["value_clip_share" if name == "critic" else "clip_share"]
    assert 0.05 < share < 0.8  # both sides of the clip are tried
    assert ours.keys() == theirs.keys()
    scale = max(float(gradient.abs().max()) for gradient in theirs.values())
    for key, gradient in ours.items():
        bound = (1e-9 if exact else 2e-5) * scale
        torch.testing.assert_close(gradient.double(), theirs[key], rtol=0, atol=bound, msg=lambda m, n=key: f"{n}: {m}")
