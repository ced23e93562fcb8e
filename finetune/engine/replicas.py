"""Processes that hold the same weights must go on holding the same: compared bit by bit, without sending them."""

from collections.abc import Iterable
from itertools import chain

import torch
from torch import Tensor, distributed
from torch.distributed.tensor import DTensor

from camelid.errors import UserError
from finetune.engine.optimizer import InBackward
from finetune.engine.worker import Worker

CHUNK = 1 << 24  # numbers that are added up at once, for torch widens them to 64 bits first
BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def require_equal_replicas(worker: Worker, update: int) -> None:
    """Compare what every process holds whole: trained weights and their optimizer state. Every process must call it.

    What is cut over processes (DTensor, ZeRO-3's weights) has no second copy to compare with.

    Args:
        worker: this process.
        update: updates done, for the error.

    Raises:
        UserError: on every process, if they differ on any.
    """
    if worker.pipeline is not None:  # each stage has its own, and under fsdp2 each of its processes a part
        return
    held = _replicated(worker)
    if worker.accelerator.num_processes == 1 or not held:
        return
    sums = torch.stack([_sum_of_bits(tensor).to(worker.accelerator.device) for tensor in held.values()])
    most = torch.cat([sums, ~sums])  # the largest ~x belongs to the smallest x
    distributed.all_reduce(most, distributed.ReduceOp.MAX)
    largest, smallest = most[: len(sums)], ~most[len(sums) :]
    differing = [name for name, differs in zip(held, (largest != smallest).tolist(), strict=True) if differs]
    if differing:
        raise UserError(
            f"update {update}: processes that should hold the same weights differ in {len(differing)} of {len(held)} "
            f"tensors, the first {differing[0]}; nothing was saved: start the same command again, it goes on from the "
            "checkpoint before, and if this comes again, test the GPUs' memory"
        )


def _replicated(worker: Worker) -> dict[str, Tensor]:
    """By name, what this process and every other should hold alike."""
    names = {
        weight: name
        for name, weight in worker.accelerator.unwrap_model(worker.model).named_parameters()
        if weight.requires_grad and not isinstance(weight, DTensor) and not hasattr(weight, "ds_id")
    }
    held: dict[str, Tensor] = {name: weight for weight, name in names.items()}
    if worker.engine is not None:  # DeepSpeed's optimizer state is cut
        return held
    optimizer = worker.optimizer
    parts = optimizer.optimizers if isinstance(optimizer, InBackward) else [optimizer]
    states: Iterable[tuple[Tensor, dict[str, object]]] = chain.from_iterable(part.state.items() for part in parts)
    for weight, state in states:
        if weight in names:
            tensors = {key: value for key, value in state.items() if isinstance(value, Tensor)}
            held |= {f"{key} of {names[weight]}": value for key, value in tensors.items()}
    return held


@torch.no_grad()
def _sum_of_bits(tensor: Tensor) -> Tensor:
    """() int64: the sum of all numbers as integers, whatever they are."""
    bits = tensor.detach().contiguous().view(-1).view(BITS[tensor.element_size()])
    return torch.stack([part.sum(dtype=torch.int64) for part in torch.split(bits, CHUNK)]).sum()
