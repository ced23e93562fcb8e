"""How near a training step is to its floor: the matrix products and the attention of the step alone.

They are noted while a step runs, with the shapes and strides of what they are given, and run again on random numbers:
the same calls in the same order, with nothing between them.
"""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "_linear_pointwise")
ATTENTION = ("flash_attention", "efficient_attention")

Key = tuple[torch.Size, tuple[int, ...], torch.dtype]


class _Noting(TorchDispatchMode):
    """Notes the calls that the floor is made of; tensors as what they look like."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        if name in PRODUCTS or any(part in name for part in ATTENTION):
            self.calls.append((func, *(tree_map_only(Tensor, _Like, each) for each in (args, kwargs))))
        return func(*args, **kwargs)


class _Like:
    """What a tensor looks like."""

    def __init__(self, tensor: Tensor) -> None:
        self.key: Key = (tensor.shape, tensor.stride(), tensor.dtype)


def floor_of(step: Callable[[], Any]) -> Callable[[], float]:
    """Run a step, and return what runs its products and attention alone and gives the seconds that took."""
    with _Noting() as noting:
        step()
    made: dict[Key, Tensor] = {}

    def make(like: _Like) -> Tensor:
        if like.key not in made:
            shape, stride, dtype = like.key
            made[like.key] = torch.empty_strided(shape, stride, dtype=dtype).normal_(0, 0.1)
        return made[like.key]

    calls = [(func, *(tree_map_only(_Like, make, each) for each in given)) for func, *given in noting.calls]

    def run() -> float:
        started = time.perf_counter()
        with torch.no_grad():
            for func, args, kwargs in calls:
                func(*args, **kwargs)
        return time.perf_counter() - started

    return run
