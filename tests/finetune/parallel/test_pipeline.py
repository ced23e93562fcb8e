"""A model whose layers are cut into stages trains as one that is whole, and no stage holds more than it must."""

import threading
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from finetune.folders import weights
from finetune.folders.merge import copy_tokenizer
from finetune.llama.config import LlamaConfig
from finetune.parallel.pipeline import Pipeline, stage_layers
from tests.finetune.parallel.same_run import assert_same
from tests.finetune.runs import launch, metrics, run, tensors, variant


def assert_same_bits(ours: dict[str, Any], truth: dict[str, Any]) -> None:
    """Every number of every update, and every weight."""
    for mine, theirs in zip(metrics(ours), metrics(truth), strict=True):
        for name in ("loss", "grad_norm", "validation_loss", "tokens", "trained_tokens"):
            assert mine[name] == theirs[name], (name, mine["update"], ours["run"]["output"])
    weights_of = tensors(truth)
    assert tensors(ours).keys() == weights_of.keys()
    for name, tensor in tensors(ours).items():
        assert tensor.equal(weights_of[name]), (name, ours["run"]["output"])


@dataclass
class Step:
    """A micro-batch of so many tokens."""

    tokens: int


class Line:
    """Places for one message each way between neighbours, as channels that hold a sender up until it was received."""

    def __init__(self, stages: int) -> None:
        ends = [(a, b) for a in range(stages) for b in (a - 1, a + 1) if 0 <= b < stages]
        self.messages: dict[tuple[int, int], deque[Tensor]] = {end: deque() for end in ends}
        self.changed = threading.Condition()


class Threaded(Pipeline):
    """A stage in a thread, which exchanges through a `Line`."""

    def __init__(self, stage: int, stages: int, line: Line) -> None:
        self.stage, self.stages = stage, stages
        self.first, self.last = stage == 0, stage == stages - 1
        self._before = None if self.first else stage - 1
        self._behind = None if self.last else stage + 1
        self._line = line

    def _exchange(self, stage: int | None, sent: Tensor | None, tokens: int | None) -> Tensor | None:
        if stage is None:
            return None
        there, here = self._line.messages[self.stage, stage], self._line.messages[stage, self.stage]
        with self._line.changed:
            if sent is not None:
                there.append(sent.detach().clone())
                self._line.changed.notify_all()
            received = None
            if tokens is not None:
                assert self._line.changed.wait_for(lambda: here, 20), "waits for ever"
                received = here.popleft()
                assert len(received) == tokens
                self._line.changed.notify_all()
            if sent is not None:
                assert self._line.changed.wait_for(lambda: not there, 20), "is never received"
        return received


@pytest.mark.parametrize(("stages", "count"), [(1, 3), (2, 1), (2, 5), (3, 2), (4, 9), (4, 4)])
def test_no_stage_holds_more_micro_batches_than_there_are_stages(stages: int, count: int) -> None:
    """Micro-batches of uneven lengths; the gradients are those of the whole chain, and no two stages wait for each
    other though no message is kept for them."""
    line, width = Line(stages), 4
    torch.manual_seed(0)
    matrices = [torch.randn(width, width) / 2 for _ in range(stages)]
    inputs = [torch.randn(1 + 7 * index % 5, width) for index in range(count)]
    most, failed = [0] * stages, []

    def work(stage: int) -> None:
        live = 0
        inputs_left = iter(inputs)

        def forward(batch: Step, hidden_TD: Tensor | None) -> Tensor:
            nonlocal live
            live += 1
            most[stage] = max(most[stage], live)
            own = next(inputs_left)
            out = torch.tanh((own if hidden_TD is None else hidden_TD) @ own_matrices[stage])
            return out.square().sum() if stage == stages - 1 else out

        def backward(out: Tensor, slope_TD: Tensor | None, last: bool) -> None:
            nonlocal live
            live -= 1
            lasts[stage].append(last)
            out.backward(slope_TD)  # type: ignore[no-untyped-call]

        try:
            batches = (Step(len(each)) for each in inputs)
            Threaded(stage, stages, line).train(count, batches, forward, backward)
        except BaseException as error:
            failed.append(error)

    own_matrices = [matrix.clone().requires_grad_() for matrix in matrices]
    lasts: list[list[bool]] = [[] for _ in range(stages)]
    threads = [threading.Thread(target=work, args=(stage,)) for stage in range(stages)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert most == [min(count, stages - stage) for stage in range(stages)]
    assert all(each == [False] * (count - 1) + [True] for each in lasts)
    whole = [matrix.clone().requires_grad_() for matrix in matrices]
    for x in inputs:
        for matrix in whole:
            x = torch.tanh(x @ matrix)
        x.square().sum().backward()  # type: ignore[no-untyped-call]
    for own, truth in zip(own_matrices, whole, strict=True):
        assert own.grad is not None and truth.grad is not None and own.grad.equal(truth.grad)


def test_layers_are_dealt_out_evenly() -> None:
    assert stage_layers(5, 2) == [range(3), range(3, 5)]
    assert stage_layers(80, 4) == [range(20), range(20, 40), range(40, 60), range(60, 80)]


@pytest.fixture(scope="module")
def deep(recipe: dict[str, Any], toy_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The recipe with five layers, which neither two nor four stages share evenly, and something held out."""
    folder = tmp_path_factory.mktemp("deep") / "model"
    config = replace(LlamaConfig.from_folder(toy_model), num_hidden_layers=5)
    weights.save_model(weights.init_model(config, seed=3).state_dict(), config, folder)
    copy_tokenizer([toy_model], folder)
    held_out = {"data__validation": 0.2, "run__evaluate_every": 4}
    return variant(recipe, "deep", model__path=str(folder), optim__updates=8, **held_out)


@pytest.mark.slow
def test_stages_are_one_process_to_the_bit(deep: dict[str, Any]) -> None:
    """However activations are kept, with noise on the embeddings, of four stages, too.

    bf16-pure is near: which way a weight is rounded is drawn by its place among those of its process.
    """
    changes: dict[str, dict[str, Any]] = {
        "plain": {},
        "bf16": {"run__precision": "bf16", "optim__micro_tokens": 384},
        "pure": {"run__precision": "bf16-pure", "model__recompute": "selective"},
        "full": {"model__recompute": "full", "optim__neftune": 5.0},
        "compiled": {"model__compile": True},
    }
    ones = {name: variant(deep, f"one-{name}", **each) for name, each in changes.items()}
    for one in ones.values():
        assert run(one) == 0
    for stages in (2, 4):
        cut = {"run__processes": stages, "run__pipeline_parallel": stages}
        ours = {name: variant(one, f"{stages}-{name}", **cut) for name, one in ones.items()}
        result = launch(list(ours.values()), stages)
        assert result.returncode == 0, result.stderr[-3000:]
        for name, each in ours.items():
            if name == "pure":
                for mine, theirs in zip(metrics(each), metrics(ones[name]), strict=True):
                    assert mine["loss"] == pytest.approx(theirs["loss"], rel=1e-3)
            else:
                assert_same_bits(each, ones[name])


@pytest.mark.slow
def test_stages_whose_weights_are_cut(recipe: dict[str, Any], reference: dict[str, Any], deep: dict[str, Any]) -> None:
    """Four processes, two stages by two shares of the data."""
    cut = {"run__processes": 4, "run__sharding": "fsdp2", "run__pipeline_parallel": 2}
    whole = variant(deep, "deep-whole", model__recompute="selective")
    ours = [variant(recipe, "grid-1", **cut), variant(recipe, "grid-3", **cut, optim__micro_tokens=384)]
    ours.append(variant(whole, "deep-grid", **cut))
    assert run(whole) == 0
    result = launch(ours, 4)
    assert result.returncode == 0, result.stderr[-3000:]
    for each, truth in zip(ours, (reference, reference, whole), strict=True):
        assert_same(each, truth)
    validated = [[record["validation_loss"] for record in metrics(each)][3::4] for each in (ours[-1], whole)]
    assert validated[0] == pytest.approx(validated[1], rel=1e-5)


@pytest.mark.slow
def test_checkpoints_move_between_layouts(deep: dict[str, Any]) -> None:
    """A run that changes its layout after every three updates ends as one that never did, to 1e-5."""
    steady = {"optim__schedule": "constant", "optim__warmup_ratio": 0.0}  # whatever updates are still to come
    whole, moved = variant(deep, "steady", **steady), variant(deep, "moved", **steady)
    assert run(variant(whole, "steady", optim__updates=12)) == 0
    pipe, cut = {"run__pipeline_parallel": 2}, {"run__sharding": "fsdp2"}
    for done, (processes, changes) in enumerate([(2, pipe), (1, {}), (4, {**pipe, **cut}), (2, cut)], start=1):
        now = variant(moved, "moved", optim__updates=3 * done, run__processes=processes, **changes)
        assert launch([now], processes).returncode == 0
    assert_same(moved, whole)
