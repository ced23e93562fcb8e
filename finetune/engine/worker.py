"""What one process trains with, and the few things that each way of spreading a model does differently."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, distributed, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor, Partial
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grads_with_norm_

from finetune.data.batches import BatchShape, MicroBatch
from finetune.engine.optimizer import InBackward
from finetune.engine.wide_gradients import WideGradients
from finetune.layout import Sharding
from finetune.llama.context_share import ContextShare
from finetune.llama.model import Head, Llama
from finetune.objectives.next_token import CHUNK
from finetune.parallel.patience import Patience
from finetune.parallel.pipeline import Pipeline


@dataclass
class Worker:
    """One process of a run.

    Attributes:
        accelerator: talks to the other processes.
        model: what is called: the LLaMA, in adapters, in DistributedDataParallel or a DeepSpeed engine.
        unwrapped: the LLaMA itself.
        optimizer: steps the weights.
        sharding: how the weights are spread.
        autocast: whether float32 weights are used in bfloat16.
        rank, ranks: this process's share of the data, of how many; fewer than processes with tensor parallelism. Those
            that share documents have a share each: `context.size` neighbours train on the same micro-batches.
        micro_tokens: of a forward pass, at most; fewer than asked for once a micro-batch did not fit into memory.
        clip_norm: largest global gradient norm; 0 does not clip.
        wide: where gradients of bfloat16 weights are summed, if this is the one that sums them.
        patience: waits for what other processes do on the host.
        pipeline: its place among the stages that the layers are cut into, if they are.
        context: its part of each document, if documents are cut over processes in training.
    """

    accelerator: Accelerator
    model: nn.Module
    unwrapped: Llama
    optimizer: Any
    sharding: Sharding
    autocast: bool
    rank: int
    ranks: int
    micro_tokens: int
    clip_norm: float
    wide: WideGradients | None = None
    patience: Patience = field(default_factory=Patience)
    pipeline: Pipeline | None = None
    context: ContextShare | None = None

    @property
    def passes(self) -> int | None:
        """How often the output layer is called for a micro-batch; None if that may differ."""
        return math.ceil(self.micro_tokens / CHUNK) if self.sharding == "zero3" else None

    def shape(self, capacity: int) -> BatchShape | None:
        """What micro-batches of sequences of such a length are filled up to; None if they may differ."""
        return BatchShape(self.micro_tokens, capacity) if self.unwrapped.compiled else None

    def forward(self, batch: MicroBatch, head: Head, hidden_TD: Tensor | None = None) -> Tensor:
        """A forward pass in the precision of the run; what `head` makes of its hidden states.

        A stage of a pipeline goes on from those of the stage before, and all but the last return theirs.
        """
        inputs = batch.input_ids if hidden_TD is None else hidden_TD
        ends = self.pipeline is None or self.pipeline.last
        # ZeRO-3 gathers the weights of every module when its turn comes, so all processes must reach modules in one
        # order, also where the backward pass recomputes layers: what is read differs by process, and with it the order.
        read_N = None if self.sharding == "zero3" else batch.read
        with torch.autocast(self.accelerator.device.type, torch.bfloat16, enabled=self.autocast):
            out: Tensor = self.model(
                inputs, batch.positions, batch.documents, head=head if ends else None, read_N=read_N
            )
        return out

    @torch.no_grad()
    def score(self, batch: MicroBatch, head: Head) -> Tensor:
        """A forward pass without gradients and dropout; 0 on all stages of a pipeline but the last."""
        self.model.eval()
        try:
            if self.pipeline is not None:
                return self.pipeline.score(batch.tokens, partial(self.forward, batch, head))
            return self.forward(batch, head)
        finally:
            self.model.train()

    @property
    def engine(self) -> Any:
        """The DeepSpeed engine, or None."""
        return self.model if self.sharding.startswith("zero") else None

    def sum(self, value: Tensor) -> Tensor:
        """Sum over the shares of the data and over stages; a tensor-parallel group's processes have the same value."""
        if self.accelerator.num_processes == 1:
            return value
        stages = 1 if self.pipeline is None else self.pipeline.stages
        alike = self.accelerator.num_processes // self.ranks // stages
        total: Tensor = self.accelerator.reduce(value, reduction="sum") * (1 / alike)
        return total

    def any(self, *flags: bool) -> list[bool]:
        """Whether each flag is set on any process."""
        if self.accelerator.num_processes == 1:
            return list(flags)
        total = self.accelerator.reduce(torch.tensor(flags, device=self.accelerator.device).float(), reduction="sum")
        return [bool(count > 0) for count in total]

    @contextmanager
    def accumulating(self, last: bool) -> Iterator[None]:
        """A forward and backward pass, the `last` one of an update or not.

        Gradients are summed over the processes in the last one; under fsdp2 in each, for what waits to be summed is
        whole on every process, in float32: 276 GB for a 70B. A stage of a pipeline is a part of that, and waits.
        """
        if isinstance(self.optimizer, InBackward):
            self.optimizer.armed = last
        if self.engine is not None:
            self.engine.set_gradient_accumulation_boundary(is_boundary=last)
            yield
        elif isinstance(self.model, DistributedDataParallel) and not last:
            with self.model.no_sync():
                yield
        elif isinstance(self.model, FSDPModule) and self.pipeline is not None:
            self.model.set_requires_gradient_sync(last)
            self.model.set_reshard_after_backward(last)
            self.model.set_is_last_backward(last)
            yield
        else:
            yield

    def backward(self, loss: Tensor, slope: Tensor | None = None) -> None:
        """From the loss, or from the hidden states behind a stage with their gradient."""
        if self.engine is not None:
            self.engine.backward(loss)
        else:
            loss.backward(slope)  # type: ignore[no-untyped-call]

    def step(self) -> tuple[float, bool]:
        """Clip, step, and forget the gradients.

        Returns:
            The norm before clipping, and whether the step was made: not if the gradient is NaN or infinite.
        """
        if self.engine is not None:
            return self._step_engine()
        if isinstance(self.optimizer, InBackward):
            bad, self.optimizer.bad = self.optimizer.bad, 0
            return self.optimizer.norm(), bad == 0
        if self.wide is not None:
            self.wide.hand_over()
        named = {name: weight for name, weight in self.model.named_parameters() if weight.grad is not None}
        weights = list(named.values())
        if self.wide is not None and self.ranks > 1:  # no wrapper averages them
            self._average(weights)
        squares_n = _squares([weight.grad for weight in weights if weight.grad is not None])
        if self.pipeline is not None:
            squares_n = self.pipeline.spread(squares_n, list(named))
        norm = squares_n.sum().sqrt()
        good = bool(torch.isfinite(norm))
        if good:
            if self.clip_norm:
                for group in _group_by_mesh(weights):
                    clip_grads_with_norm_(group, self.clip_norm, norm)
            self.optimizer.step()
        self.optimizer.zero_grad()
        return float(norm), good

    def _average(self, weights: list[nn.Parameter]) -> None:
        """Average gradients over the replicas."""
        for weight in weights:
            assert weight.grad is not None
            distributed.all_reduce(weight.grad)
            weight.grad /= self.ranks

    def _step_engine(self) -> tuple[float, bool]:
        optimizer = self.engine.optimizer
        optimizer.check_grad_overflow = True  # in float32, DeepSpeed would step on NaN
        self.engine.step()  # clips with the norm from its settings, steps, and forgets the gradients
        if optimizer.overflow:
            return math.nan, False
        return float(self.engine.get_global_grad_norm()), True

    def forget_gradients(self) -> None:
        if self.wide is not None:
            self.wide.forget()
        (self.engine or self.optimizer).zero_grad()


def _group_by_mesh(tensors: list[Any]) -> list[list[Any]]:
    """Plain tensors and those on each mesh apart: torch does not mix them in one operation."""
    groups: dict[object, list[Any]] = {}
    for tensor in tensors:
        groups.setdefault(tensor.device_mesh if isinstance(tensor, DTensor) else None, []).append(tensor)
    return list(groups.values())


def _squares(gradients: list[Tensor]) -> Tensor:
    """(n,) square of each gradient's norm, in order, on every process that has a part of them the same.

    Rows first, then their squares: on a CPU torch adds up the squares of a norm one after the other in float32, and
    the norm of a matrix of 4096 x 4096 comes out smaller by 1e-3.
    """
    square_of: dict[int, Tensor] = {}
    for group in _group_by_mesh(gradients):
        squares_n = torch.stack([_square(gradient) for gradient in group])
        if isinstance(group[0], DTensor):
            mesh = group[0].device_mesh
            squares_n = DTensor.from_local(squares_n, mesh, [Partial()] * mesh.ndim).full_tensor()
        square_of |= {id(gradient): square for gradient, square in zip(group, squares_n, strict=True)}
    return torch.stack([square_of[id(gradient)] for gradient in gradients])


def _square(gradient: Tensor) -> Tensor:
    """Square of the norm of a gradient: of this process's part if it is cut, its share if several hold it whole."""
    local, holders = gradient, 1
    if isinstance(gradient, DTensor):
        sizes = zip(gradient.placements, gradient.device_mesh.shape, strict=True)
        local, holders = gradient.to_local(), math.prod(size for place, size in sizes if place.is_replicate())
    rows: Tensor = torch.linalg.vector_norm(local, dim=-1, dtype=torch.float32)
    return rows.square().sum() / holders
