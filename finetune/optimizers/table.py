"""Every optimizer that a recipe can name: how it is made, what it takes in memory, and what it does not go with.

Making one imports what it needs; the table itself needs nothing, so that recipes are read without torch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

# Called with groups of parameters (`params`, `weight_decay`) and options (`lr`, `betas`, `eps`).
OptimizerMaker = Callable[[list[dict[str, Any]], dict[str, Any]], Any]


@dataclass(frozen=True)
class Stepping:
    """How an optimizer steps weights of one precision.

    Attributes:
        make: makes it, a `torch.optim.Optimizer` or what looks like one.
        state_bytes: what it keeps of each weight it steps.
    """

    make: OptimizerMaker
    state_bytes: float


@dataclass(frozen=True)
class OptimizerSpec:
    """One entry of `OPTIMIZERS`.

    Attributes:
        usual: float32 weights.
        pure: bfloat16 weights without a float32 copy, rounded so that small steps count on average; None refuses
            `run.precision=bf16-pure`.
        in_backward: whether it can be made for one weight alone and step inside the backward pass.
        shards: whether it steps the parts that fsdp2 and tensor parallelism cut weights into (DTensor).
        needs: the package it comes from, if that is not torch.
    """

    usual: Stepping
    pure: Stepping | None = None
    in_backward: bool = False
    shards: bool = False
    needs: str | None = None

    def stepping(self, pure: bool) -> Stepping:
        """How it steps weights of that precision."""
        found = self.pure if pure else self.usual
        assert found is not None, "refused when the recipe was read"
        return found


def _adamw(groups: list[dict[str, Any]], options: dict[str, Any]) -> Any:
    from torch.optim import AdamW

    return AdamW(groups, **options, fused=True)


def _stochastic_adamw(groups: list[dict[str, Any]], options: dict[str, Any]) -> Any:
    from finetune.optimizers.stochastic_adamw import StochasticAdamW

    return StochasticAdamW(groups, **options)


def _eight_bits(kind: str, groups: list[dict[str, Any]], options: dict[str, Any]) -> Any:
    """One of bitsandbytes' classes."""
    import bitsandbytes

    return getattr(bitsandbytes.optim, kind)(groups, **options)


OPTIMIZERS = {
    # Two moments in the weights' precision (Loshchilov and Hutter 2019, algorithm 2).
    "adamw": OptimizerSpec(Stepping(_adamw, 8.0), pure=Stepping(_stochastic_adamw, 4.0), in_backward=True, shards=True),
    # Two moments of a byte each, and float32 constants of each block of them (Dettmers et al. 2022, section 2.1).
    "adamw-8bit": OptimizerSpec(Stepping(partial(_eight_bits, "AdamW8bit"), 2.1), needs="bitsandbytes"),
    "paged-adamw-8bit": OptimizerSpec(Stepping(partial(_eight_bits, "PagedAdamW8bit"), 2.1), needs="bitsandbytes"),
}


def names_with(wanted: Callable[[OptimizerSpec], bool]) -> str:
    """The optimizers that can do something, as a sentence lists them."""
    return " or ".join(name for name, spec in OPTIMIZERS.items() if wanted(spec))
