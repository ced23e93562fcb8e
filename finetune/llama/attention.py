"""Attention over packed documents: causal, grouped heads, never across documents.

Shapes: T tokens of all documents back to back, H query heads, K key and value heads, d head width.
"""

import importlib.util
import inspect
import logging
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Documents:
    """Where each document of a packed sequence lies.

    Attributes:
        lengths: tokens of each document, on the host.
        starts: (documents + 1,) int32 cumulative lengths, on the device (`cu_seqlens` of flash-attn).
    """

    lengths: tuple[int, ...]
    starts: Tensor

    @staticmethod
    def from_lengths(lengths: list[int], device: torch.device | str = "cpu") -> "Documents":
        bounds = torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)
        return Documents(tuple(lengths), bounds.to(device))

    @property
    def longest(self) -> int:
        return max(self.lengths)


def attention(q_THd: Tensor, k_TKd: Tensor, v_TKd: Tensor, documents: Documents) -> Tensor:
    """Causal softmax attention within each document, scaled by 1 / sqrt(d) (Vaswani et al. 2017, eq. 1).

    On CUDA flash-attn's varlen kernel if it is installed, else torch's `varlen_attn`; elsewhere, and for
    float32 (which neither kernel takes), torch's SDPA one document at a time.

    Returns:
        (T, H, d) outputs.
    """
    if q_THd.is_cuda and q_THd.dtype in (torch.bfloat16, torch.float16):
        kernel = _cuda_kernel()
        if kernel == "flash-attn":
            return _flash(q_THd, k_TKd, v_TKd, documents)
        if kernel == "torch varlen_attn":
            return _varlen(q_THd, k_TKd, v_TKd, documents)
    return _per_document(q_THd, k_TKd, v_TKd, documents)


@cache
def _cuda_kernel() -> str:
    """The packed kernel to use on CUDA; announced once."""
    if importlib.util.find_spec("flash_attn"):
        kernel = "flash-attn"
    elif importlib.util.find_spec("torch.nn.attention.varlen"):
        kernel = "torch varlen_attn"
    else:
        kernel = "per-document SDPA"
    if kernel != "flash-attn":
        logger.warning("flash-attn is not installed; attention uses %s", kernel)
    return kernel


def _flash(q_THd: Tensor, k_TKd: Tensor, v_TKd: Tensor, documents: Documents) -> Tensor:
    from flash_attn import flash_attn_varlen_func

    starts, longest = documents.starts, documents.longest
    out: Tensor = flash_attn_varlen_func(q_THd, k_TKd, v_TKd, starts, starts, longest, longest, causal=True)
    return out


def _varlen(q_THd: Tensor, k_TKd: Tensor, v_TKd: Tensor, documents: Documents) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    names = inspect.signature(varlen_attn).parameters
    # torch 2.11 says `is_causal`, 2.13 a window: no token to the right, all to the left.
    causal: dict[str, Any] = {"is_causal": True} if "is_causal" in names else {"window_size": (-1, 0)}
    groups = q_THd.shape[1] // k_TKd.shape[1]
    if groups > 1 and "enable_gqa" in names:
        causal["enable_gqa"] = True
    elif groups > 1:
        k_TKd, v_TKd = (x.repeat_interleave(groups, dim=1) for x in (k_TKd, v_TKd))
    starts, longest = documents.starts, documents.longest
    out = varlen_attn(q_THd, k_TKd, v_TKd, starts, starts, longest, longest, **causal)
    assert isinstance(out, Tensor)
    return out


def _per_document(q_THd: Tensor, k_TKd: Tensor, v_TKd: Tensor, documents: Documents) -> Tensor:
    grouped = q_THd.shape[1] != k_TKd.shape[1]
    lengths = list(documents.lengths)
    outs = [
        scaled_dot_product_attention(
            q_nHd.transpose(0, 1)[None],
            k_nKd.transpose(0, 1)[None],
            v_nKd.transpose(0, 1)[None],
            is_causal=True,
            enable_gqa=grouped,
        )[0].transpose(0, 1)
        for q_nHd, k_nKd, v_nKd in zip(*(torch.split(x_THd, lengths) for x_THd in (q_THd, k_TKd, v_TKd)), strict=True)
    ]
    return torch.cat(outs) if len(outs) > 1 else outs[0]
