"""What one process trains with, and the few things that each way of spreading a model does differently."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, distributed, nn
from torch.distributed.tensor import DTensor, Partial
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grads_with_norm_

from finetune.data.batches import BatchShape, MicroBatch
from finetune.engine.optimizer import InBackward
from finetune.engine.wide_gradients import WideGradients
from finetune.layout import Sharding
from finetune.llama.model import Head, Llama
from finetune.objectives.next_token import CHUNK
from finetune.parallel.patience import Patience


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
        rank, ranks: this process's share of the data, of how many; fewer than processes with tensor parallelism.
        micro_batch: sequences of a forward pass.
        clip_norm: largest global gradient norm; 0 does not clip.
        wide: where gradients of bfloat16 weights are summed, if this is the one that sums them.
        splits: in how many parts (a power of two) each micro-batch is cut because it did not fit into memory.
        patience: waits for what other processes do on the host.
    """

    accelerator: Accelerator
    model: nn.Module
    unwrapped: Llama
    optimizer: Any
    sharding: Sharding
    autocast: bool
    rank: int
    ranks: int
    micro_batch: int
    clip_norm: float
    wide: WideGradients | None = None
    splits: int = 1
    patience: Patience = field(default_factory=Patience)

    def passes(self, capacity: int) -> int | None:
        """How often the output layer is called for a micro-batch of such sequences; None if that may differ."""
        return math.ceil(self.micro_batch * capacity / CHUNK) if self.sharding == "zero3" else None

    def shape(self, capacity: int) -> BatchShape | None:
        """What micro-batches of such sequences are filled up to; None if they may differ."""
        return BatchShape(self.micro_batch * capacity, capacity) if self.unwrapped.compiled else None

    def forward(self, batch: MicroBatch, head: Head) -> Tensor:
        """A forward pass in the precision of the run; what `head` makes of its hidden states."""
        with torch.autocast(self.accelerator.device.type, torch.bfloat16, enabled=self.autocast):
            out: Tensor = self.model(batch.input_ids, batch.positions, batch.documents, head=head)
        return out

    @torch.no_grad()
    def score(self, batch: MicroBatch, head: Head) -> Tensor:
        """A forward pass without gradients and dropout."""
        self.model.eval()
        try:
            return self.forward(batch, head)
        finally:
            self.model.train()

    @property
    def engine(self) -> Any:
        """The DeepSpeed engine, or None."""
        return self.model if self.sharding.startswith("zero") else None

    def sum(self, value: Tensor) -> Tensor:
        """Sum over the shares of the data; every process of a tensor-parallel group has the same value."""
        if self.accelerator.num_processes == 1:
            return value
        total: Tensor = self.accelerator.reduce(value, reduction="sum") * (self.ranks / self.accelerator.num_processes)
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
        whole on every process, in float32: 276 GB for a 70B.
        """
        if isinstance(self.optimizer, InBackward):
            self.optimizer.armed = last
        if self.engine is not None:
            self.engine.set_gradient_accumulation_boundary(is_boundary=last)
            yield
        elif isinstance(self.model, DistributedDataParallel) and not last:
            with self.model.no_sync():
                yield
        else:
            yield

    def backward(self, loss: Tensor) -> None:
        if self.engine is not None:
            self.engine.backward(loss)
        else:
            loss.backward()  # type: ignore[no-untyped-call]

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
        weights = [weight for weight in self.model.parameters() if weight.grad is not None]
        if self.wide is not None and self.ranks > 1:  # no wrapper averages them
            self._average(weights)
        norm = _global_norm([weight.grad for weight in weights if weight.grad is not None])
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


def _global_norm(gradients: list[Tensor]) -> Tensor:
    """Norm of all gradients taken together, on every process the same.

    Rows first, then their squares: on a CPU torch adds up the squares of a norm one after the other in float32, and
    the norm of a matrix of 4096 x 4096 comes out smaller by 1e-3.
    """
    squares = []
    for group in _group_by_mesh(gradients):
        square = torch.stack([_square(gradient) for gradient in group]).sum()
        if isinstance(group[0], DTensor):
            mesh = group[0].device_mesh
            square = DTensor.from_local(square, mesh, [Partial()] * mesh.ndim).full_tensor()
        squares.append(square)
    return torch.stack(squares).sum().sqrt()


def _square(gradient: Tensor) -> Tensor:
    """Square of the norm of a gradient: of this process's part if it is cut, its share if several hold it whole."""
    local, holders = gradient, 1
    if isinstance(gradient, DTensor):
        sizes = zip(gradient.placements, gradient.device_mesh.shape, strict=True)
        local, holders = gradient.to_local(), math.prod(size for place, size in sizes if place.is_replicate())
    rows: Tensor = torch.linalg.vector_norm(local, dim=-1, dtype=torch.float32)
    return rows.square().sum() / holders
