"""A second objective through the loop as it is: its gradients are the truth's, however the update is cut."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer

from finetune.data.batches import MicroBatch, Plan
from finetune.data.token_data import TokenData, load_tokens
from finetune.engine.evaluate import validation_loss
from finetune.engine.update import UpdateFacts, run_update
from finetune.engine.worker import Worker
from finetune.folders import weights
from finetune.llama.model import Head, Llama
from finetune.objectives.objective import UpdateShare
from finetune.recipe import DataSection, DataSource, OptimSection

BETA, PENALTY, NOISE = 0.7, 0.01, 0.05
UPDATE = 1  # the second, whose weights are no longer the reference's


class Halves:
    """A preference as a toy: the second half of a document's answer is preferred to its first half.

    It has what preference losses have: pairs to divide by, log-probabilities of a reference, a statistic over the
    whole update (the mean preference, which is subtracted), a penalty on logits, and a fact of its own.
    """

    def __init__(self, reference: Llama) -> None:
        self.reference = reference
        self.preferences: dict[int, float] = {}
        self.mean = 0.0
        self.right = torch.zeros(())

    def divisor(self, data: TokenData, documents: Any) -> float:
        return float(len(documents))

    def before(self, share: UpdateShare) -> None:
        total, self.right = torch.zeros((), dtype=torch.float64), torch.zeros(())
        for batch in share.micro_batches():
            preferred = partial(preferences, batch)
            with torch.no_grad():
                before = self.reference(batch.input_ids, batch.positions, batch.documents, head=preferred)
            self.preferences |= dict(zip(batch.numbers.tolist(), before.tolist(), strict=True))
            total += share.score(batch, preferred).sum()
        self.mean = float(share.total(total)) / len(share.documents)

    def around(self, model: Llama, batch: MicroBatch) -> AbstractContextManager[None]:
        return nullcontext()

    def head(self, batch: MicroBatch, passes: int | None) -> Head:
        assert passes is None
        before = torch.tensor([self.preferences[number] for number in batch.numbers.tolist()], dtype=torch.float64)

        def loss(hidden_TD: Tensor, lm_head: nn.Module) -> Tensor:
            moved = preferences(batch, hidden_TD, lm_head) - before - self.mean
            self.right += (moved > 0).sum()
            penalty = lm_head(hidden_TD[batch.trained]).pow(2).mean(-1).sum()
            return pair_loss(moved) + PENALTY * penalty

        return loss

    def facts(self, total: Callable[[Tensor], Tensor]) -> dict[str, float]:
        return {"right": float(total(self.right))}


def pair_loss(moved: Tensor) -> Tensor:
    return -torch.nn.functional.logsigmoid(BETA * moved).sum()


def preferences(batch: MicroBatch, hidden_TD: Tensor, lm_head: nn.Module) -> Tensor:
    """Of each document: log-probability of its trained tokens' second half less that of the first."""
    chances = lm_head(hidden_TD[batch.trained]).log_softmax(-1).gather(1, batch.targets[:, None])[:, 0]
    ends = np.cumsum(batch.documents.lengths)
    of = torch.from_numpy(np.searchsorted(ends, batch.trained.numpy(), side="right"))
    parts = [chances[of == index] for index in range(len(batch.numbers))]
    return torch.stack([part[len(part) // 2 :].sum() - part[: len(part) // 2].sum() for part in parts])


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory, toy_model: Path, toy_data: Path) -> Plan:
    """Updates of 6 sequences of one or more documents."""
    section = DataSection((DataSource(str(toy_data)),), "vicuna_v1.1", max_length=128)
    data = load_tokens(tmp_path_factory.mktemp("cache"), section, AutoTokenizer.from_pretrained(toy_model), seed=0)
    return Plan(data, section, OptimSection(lr=1e-2, global_batch=6), seed=0)


def worker_of(model: Llama, micro_tokens: int) -> Worker:
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    return Worker(Accelerator(cpu=True), model, model, optimizer, "none", False, 0, 1, micro_tokens, 0.0)


def train_halves(
    plan: Plan, folder: Path, micro_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> tuple[UpdateFacts, dict[str, Tensor], float]:
    """Facts and gradients of one update away from the reference, and the loss as validation measures it."""
    reference, model = (weights.load_model(folder, dtype=torch.float64) for _ in range(2))
    move(model)
    worker = worker_of(model, micro_tokens)
    gradients: dict[str, Tensor] = {}

    def note() -> tuple[float, bool]:
        gradients.update(
            {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
        )
        return 0.0, True

    objective = Halves(reference)
    measured = validation_loss(worker, plan, plan.rows(UPDATE), objective)
    monkeypatch.setattr(worker, "step", note)
    facts = run_update(worker, plan, UPDATE, 1e-2, objective, lambda: False, lambda: None)
    assert facts is not None
    return facts, gradients, measured


def move(model: Any) -> None:
    """The same small step away from the reference for any model with these names."""
    with torch.no_grad():
        for _, weight in sorted(model.named_parameters()):
            weight += (
                NOISE * torch.randn(weight.shape, generator=torch.Generator().manual_seed(weight.numel())).double()
            )


@pytest.fixture(scope="module")
def truth(plan: Plan, toy_model: Path) -> tuple[float, dict[str, Tensor], int]:
    """transformers in float64, one document at a time: loss, gradients, how many moved the right way."""
    reference, model = (AutoModelForCausalLM.from_pretrained(toy_model, dtype=torch.float64) for _ in range(2))
    move(model)

    def one(network: Any, document: int) -> tuple[Tensor, Tensor]:
        ids, weights = map(torch.from_numpy, plan.data.document(document))
        trained = weights[1:] > 0
        logits = network(ids[None]).logits[0, :-1][trained]
        chances = logits.log_softmax(-1)[torch.arange(len(logits)), ids[1:][trained]]
        half = len(chances) // 2
        return chances[half:].sum() - chances[:half].sum(), logits.pow(2).mean(-1).sum()

    documents = np.concatenate(plan.rows(UPDATE)).tolist()
    with torch.no_grad():
        before = torch.stack([one(reference, document)[0] for document in documents])
    now = [one(model, document) for document in documents]
    preferred = torch.stack([preference for preference, _ in now])
    moved = preferred - before - preferred.detach().mean()
    loss = (pair_loss(moved) + PENALTY * torch.stack([penalty for _, penalty in now]).sum()) / len(documents)
    loss.backward()
    return float(loss.detach()), {name: w.grad for name, w in model.named_parameters()}, int((moved > 0).sum())


@pytest.mark.parametrize("micro_tokens", [40, 128, 192, 256, 768])
def test_gradients_are_the_truths_however_the_update_is_cut(
    plan: Plan,
    toy_model: Path,
    truth: tuple[float, dict[str, Tensor], int],
    micro_tokens: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    facts, gradients, measured = train_halves(plan, toy_model, micro_tokens, monkeypatch)
    loss, expected, right = truth
    assert facts.loss == pytest.approx(loss, rel=1e-6) and measured == pytest.approx(loss, rel=1e-6)
    assert facts.objective_facts == {"right": right} and right > 0
    assert gradients.keys() == expected.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-5, atol=1e-5 * float(expected[name].abs().max()))


def test_an_update_without_memory_begins_again(plan: Plan, toy_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the objective noted in the first try counts once; the micro-batches are smaller, the gradients the same."""
    whole, expected, _ = train_halves(plan, toy_model, 768, monkeypatch)
    forward, calls = Worker.forward, iter(range(100))

    def cramped(self: Worker, batch: MicroBatch, head: Head) -> Tensor:
        value = forward(self, batch, head)
        if torch.is_grad_enabled() and next(calls) == 0:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return value

    monkeypatch.setattr(Worker, "forward", cramped)
    again, gradients, _ = train_halves(plan, toy_model, 768, monkeypatch)
    assert next(calls) == 4  # one that failed, and its 650 tokens in three of at most 325
    assert again.objective_facts == whole.objective_facts and again.loss == pytest.approx(whole.loss, rel=1e-6)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-6, atol=1e-8)
