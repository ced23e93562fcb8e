"""What the layers keep for the backward pass, and what it makes again instead.

A layer says of a value only that it may be made again, with `remade`. Whether it is, `run_layer` decides.

Chosen over torch's selective checkpoint policy, which makes an eager step on a CPU 17 to 27% slower: it dispatches
every operator through Python. This costs a few calls a layer (`benchmarks/llama.py` holds it to 8%).
"""

from collections.abc import Callable
from contextlib import nullcontext
from contextvars import ContextVar
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

Recompute = Literal["none", "selective", "full"]
WIDENING = 8  # LLaMA's layers widen 4 times at most; adapters of rank 256 and less 16 times and more from width 4096 on


def run_layer(mode: Recompute, layer: Callable[..., Tensor], *inputs: Any) -> Tensor:
    """Call `layer(*inputs)`. Where no gradients are recorded, every mode is the plain call.

    Args:
        mode: what the backward pass makes again: nothing (`none`); what the layer made with `remade` (`selective`);
            all but the layer's inputs, by running it once more (`full`, Chen et al. 2016).
        layer: the module.
        inputs: what it is called with.
    """
    if mode == "none" or not torch.is_grad_enabled():
        return layer(*inputs)
    if mode == "full":
        out: Tensor = checkpoint(layer, *inputs, use_reentrant=False)
        return out
    with Recomputations():
        return layer(*inputs)


def run_compiled(mode: Recompute, layer: Callable[..., Tensor], *inputs: Any) -> Tensor:
    """The same in code that torch has compiled: one graph for all layers of a shape, whatever documents come.

    Args:
        mode: as for `run_layer`; what `selective` keeps is `_kept`'s to say.
        layer: as for `run_layer`, without hooks.
        inputs: as for `run_layer`.
    """
    return _compiled(mode, layer, *inputs)


def _trace(mode: Recompute, layer: Callable[..., Tensor], *inputs: Any) -> Tensor:
    if mode == "none" or not torch.is_grad_enabled():
        return layer(*inputs)
    if mode == "selective":
        out: Tensor = checkpoint(layer, *inputs, use_reentrant=False, context_fn=_selective)
    else:
        out = checkpoint(layer, *inputs, use_reentrant=False)
    return out


_compiled = torch.compile(_trace, fullgraph=True, dynamic=False)


def _selective() -> Any:
    return create_selective_checkpoint_contexts(_kept)  # type: ignore[no-untyped-call]


def _kept(context: Any, operator: Any, *inputs: Any, **options: Any) -> CheckpointPolicy:
    """What `selective` keeps of a compiled layer: products of matrices, and attention."""
    aten = torch.ops.aten
    if operator in (aten.mm.default, aten.addmm.default):
        (_, inner), (_, width) = (each.shape for each in inputs[-2:])
        # The second product of a low-rank adapter is as large as what it is added to, and nearly free.
        return CheckpointPolicy.PREFER_RECOMPUTE if width > WIDENING * inner else CheckpointPolicy.MUST_SAVE
    kept = (torch.ops.camelid.packed_attention.default, aten._scaled_mm.default)  # the second: products in 8 bits
    return CheckpointPolicy.MUST_SAVE if operator in kept else CheckpointPolicy.PREFER_RECOMPUTE


def remade(make: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """`make(*inputs)`, which the backward pass may make again: so `make` must be cheap, and the same every time."""
    made = make(*inputs)
    if torch.compiler.is_compiling():  # `_kept` decides
        return made
    active = _active.get()
    if active is not None and torch.is_grad_enabled():
        active.add(made, make, inputs)
    return made


class Recomputation:
    """How to make a tensor again. It is made once for all operators that saved it.

    Args:
        make: the operation that made it, repeated under the same autocast.
        inputs: what it is called with: tensors that are kept, or how to make them.
        device: type of the device.
    """

    def __init__(self, make: Callable[..., Tensor], inputs: "tuple[Tensor | Recomputation, ...]", device: str) -> None:
        self._make, self.inputs, self._device = make, inputs, device
        self._autocast = torch.is_autocast_enabled(device)
        self._dtype = torch.get_autocast_dtype(device) if self._autocast else None
        self._made: Tensor | None = None
        self.wanted = self._left = 0

    def get(self) -> Tensor:
        """The tensor, kept until each operator that saved it has had it."""
        if self._made is None:
            # Entering autocast costs more than the norm of a short sequence, so only where it makes a difference.
            differs = self._autocast or torch.is_autocast_enabled(self._device)
            with torch.no_grad(), self._as_it_was() if differs else nullcontext():
                self._made, self._left = self._make_again(), self.wanted
        made = self._made
        self._left -= 1
        if self._left <= 0:
            self._made = None
        return made

    def _as_it_was(self) -> torch.autocast:
        return torch.autocast(self._device, self._dtype, self._autocast)

    def _make_again(self) -> Tensor:
        # An input is made without being kept: its own users come later in the backward pass, and a sum or a norm costs
        # less time than holding it until then costs memory.
        inputs = (each._make_again() if isinstance(each, Recomputation) else each for each in self.inputs)
        return self._make(*inputs)


class Recomputations:
    """A stretch of the forward pass in which values made with `remade` are not saved for the backward pass.

    Their recipes are. Exact: a recipe repeats the operation that made the value, on the same inputs.
    """

    def __init__(self) -> None:
        self._known: list[tuple[Tensor, Recomputation]] = []
        self._hooks = saved_tensors_hooks(self._pack, _unpack)

    def __enter__(self) -> "Recomputations":
        self._before = _active.set(self)
        self._hooks.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._hooks.__exit__(*error)
        _active.reset(self._before)
        self._known.clear()

    def add(self, made: Tensor, make: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> None:
        """From here on, operators that would save `made` save how to make it."""
        known = tuple(self._find(tensor) or tensor.detach() for tensor in inputs)
        self._known.append((made, Recomputation(make, known, made.device.type)))

    def _pack(self, tensor: Tensor) -> Tensor | Recomputation:
        recipe = self._find(tensor)
        if recipe is None:
            return tensor
        recipe.wanted += 1
        return recipe

    def _find(self, tensor: Tensor) -> Recomputation | None:
        # By address: autograd hands over another object for the same memory. What is known is alive, so the address
        # can't have been given to another tensor.
        for known, recipe in self._known:
            if tensor.data_ptr() == known.data_ptr() and tensor.shape == known.shape and tensor.dtype == known.dtype:
                return recipe
        return None


# The stretch that is being run, of this thread alone: a new thread starts without one.
_active: ContextVar[Recomputations | None] = ContextVar("recomputations", default=None)


def _unpack(saved: Tensor | Recomputation) -> Tensor:
    return saved.get() if isinstance(saved, Recomputation) else saved
