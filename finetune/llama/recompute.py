"""Activation recomputation: less memory for a little more work in the backward pass."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

# What is expensive to compute again: matrix products and attention. LLaMA (Touvron et al. 2023, section
# 2.4) keeps "the activations that are expensive to compute, such as the outputs of linear layers".
KEPT_OPERATORS = ("mm", "addmm", "bmm", "linear", "_flash_attention_forward", "_varlen_attn")


def recomputed(layer: Callable[..., Tensor], mode: Literal["selective", "full"], *args: Any) -> Tensor:
    """Run `layer(*args)`, keeping for the backward pass only its input and, if selective, what is expensive."""
    kwargs: dict[str, Any] = {}
    if mode == "selective":
        kwargs["context_fn"] = partial(create_selective_checkpoint_contexts, _policy)
    out: Tensor = checkpoint(layer, *args, use_reentrant=False, **kwargs)
    return out


def _policy(context: Any, operator: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
    name = operator.__name__.split(".")[0] if isinstance(operator, torch._ops.OpOverload) else str(operator)
    if name in KEPT_OPERATORS or "attention" in name:
        return CheckpointPolicy.MUST_SAVE
    return CheckpointPolicy.PREFER_RECOMPUTE
