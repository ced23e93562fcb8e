"""Attention over pieces of a packed sequence as one operator, which a compiled layer calls without looking inside.

On CUDA it is the flash-attention that PyTorch carries (Dao 2023), on a CPU its flash kernel one piece at a time.

Shapes: T queries and U keys of all pieces back to back, H query heads, K key and value heads, d head width, P pieces;
of one piece n queries and m keys. The last query of a piece sees its last key.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten


@torch.library.custom_op("camelid::packed_attention", mutates_args=())
def packed_attention(
    q_THd: Tensor, k_UKd: Tensor, v_UKd: Tensor, query_starts: Tensor, key_starts: Tensor, longest: int, window: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Causal softmax attention within each piece, scaled by 1 / sqrt(d).

    Args:
        q_THd: bfloat16 or float16 on CUDA.
        k_UKd: K divides H.
        v_UKd: like the keys.
        query_starts: (P + 1,) int32 cumulative numbers of queries; repeated bounds make empty pieces.
        key_starts: the same of keys.
        longest: no piece has more keys.
        window: how many tokens before itself a token sees; -1 = all.

    Returns:
        (T, H, d) outputs, (H, T) logarithms in at least float32 of the softmax's denominators, and what only the
        backward pass on CUDA wants.
    """
    if q_THd.is_cuda:
        out_THd, lse_HT, state, _, _ = aten._flash_attention_forward(
            q_THd, k_UKd, v_UKd, query_starts, key_starts, longest, longest, 0.0, window < 0, False,
            window_size_left=window, window_size_right=0,
        )  # fmt: skip
        return out_THd, lse_HT, state.clone()  # an operator must not return what another one may still write
    out_THd, lse_HT = torch.zeros_like(q_THd), _empty_lse(q_THd).zero_()
    for queries, keys in _pieces(query_starts, key_starts):
        q, k, v = _heads_first(q_THd[queries], k_UKd[keys], v_UKd[keys])
        causal, mask = _mask(q, k, window)
        out, lse = aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, 0.0, causal, attn_mask=mask)
        out_THd[queries], lse_HT[:, queries] = out[0].transpose(0, 1), lse[0]
    return out_THd, lse_HT, q_THd.new_zeros(2, dtype=torch.uint64)


@packed_attention.register_fake
def _(
    q_THd: Tensor, k_UKd: Tensor, v_UKd: Tensor, query_starts: Tensor, key_starts: Tensor, longest: int, window: int
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(q_THd), _empty_lse(q_THd), q_THd.new_empty(2, dtype=torch.uint64)


@torch.library.custom_op("camelid::packed_attention_backward", mutates_args=())
def packed_attention_backward(
    grad_THd: Tensor,
    saved: list[Tensor],
    query_starts: Tensor,
    key_starts: Tensor,
    longest: int,
    window: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of queries, keys and values; `saved` are those three and what `packed_attention` returned."""
    q_THd, k_UKd, v_UKd, out_THd, lse_HT, state = saved
    grad_THd = grad_THd.contiguous()
    if q_THd.is_cuda:
        unused = torch.empty(0, device=q_THd.device)
        grads: tuple[Tensor, Tensor, Tensor] = aten._flash_attention_backward(
            grad_THd, q_THd, k_UKd, v_UKd, out_THd, lse_HT, query_starts, key_starts, longest, longest, 0.0,
            window < 0, state, unused, window_size_left=window, window_size_right=0,
        )  # fmt: skip
        if key_starts.data_ptr() != query_starts.data_ptr():  # keys that fill up to a shape: the kernel leaves them out
            beyond_U = torch.arange(len(k_UKd), device=k_UKd.device) >= key_starts[-1]
            for grad_UKd in grads[1:]:
                grad_UKd.masked_fill_(beyond_U[:, None, None], 0.0)
        return grads
    grad_q, grad_k, grad_v = (torch.zeros_like(each) for each in (q_THd, k_UKd, v_UKd))
    group = q_THd.shape[1] // k_UKd.shape[1]
    for queries, keys in _pieces(query_starts, key_starts):
        q, k, v = _heads_first(q_THd[queries], k_UKd[keys], v_UKd[keys])
        causal, mask = _mask(q, k, window)
        grad, out = (each[queries].transpose(0, 1)[None].contiguous() for each in (grad_THd, out_THd))
        lse = lse_HT[None, :, queries]
        dq, dk, dv = aten._scaled_dot_product_flash_attention_for_cpu_backward(
            grad, q, k, v, out, lse, 0.0, causal, attn_mask=mask
        )
        grad_q[queries] = dq[0].transpose(0, 1)
        grad_k[keys], grad_v[keys] = (each[0].unflatten(0, (-1, group)).sum(1).transpose(0, 1) for each in (dk, dv))
    return grad_q, grad_k, grad_v


@packed_attention_backward.register_fake
def _(
    grad_THd: Tensor, saved: list[Tensor], query_starts: Tensor, key_starts: Tensor, longest: int, window: int
) -> tuple[Tensor, Tensor, Tensor]:
    q_THd, k_UKd, v_UKd = saved[:3]
    return torch.empty_like(q_THd), torch.empty_like(k_UKd), torch.empty_like(v_UKd)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    q_THd, k_UKd, v_UKd, query_starts, key_starts, ctx.longest, ctx.window = inputs
    ctx.save_for_backward(q_THd, k_UKd, v_UKd, *output, query_starts, key_starts)


def _gradients(ctx: Any, grad_THd: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
    *saved, query_starts, key_starts = ctx.saved_tensors
    grads = packed_attention_backward(grad_THd, saved, query_starts, key_starts, ctx.longest, ctx.window)
    return *grads, None, None, None, None


packed_attention.register_autograd(_gradients, setup_context=_keep)


def _empty_lse(q_THd: Tensor) -> Tensor:
    dtype = torch.float64 if q_THd.dtype == torch.float64 else torch.float32
    return q_THd.new_empty(q_THd.shape[1], q_THd.shape[0], dtype=dtype)


def _pieces(query_starts: Tensor, key_starts: Tensor) -> Iterator[tuple[slice, slice]]:
    """Where the queries and keys of each piece lie, those without queries left out."""
    query, key = query_starts.tolist(), key_starts.tolist()
    for first, last, key_first, key_last in zip(query, query[1:], key, key[1:], strict=False):
        if last > first:
            yield slice(first, last), slice(key_first, key_last)


def _heads_first(q_nHd: Tensor, k_mKd: Tensor, v_mKd: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(1, H, n, d) and twice (1, H, m, d): the CPU's kernel wants a key head for each query head."""
    group = q_nHd.shape[1] // k_mKd.shape[1]
    k, v = (each.repeat_interleave(group, dim=1).transpose(0, 1)[None] for each in (k_mKd, v_mKd))
    return q_nHd.transpose(0, 1)[None], k, v


def _mask(q_1Hnd: Tensor, k_1Hmd: Tensor, window: int) -> tuple[bool, Tensor | None]:
    """What the CPU's kernel is told: that it is causal, or what each query may not see, as -inf."""
    queries, keys = q_1Hnd.shape[2], k_1Hmd.shape[2]
    if queries == keys and (window < 0 or window >= queries - 1):
        return True, None
    hidden = seen(queries, keys, None if window < 0 else window, q_1Hnd.device).logical_not()
    return False, torch.zeros_like(hidden, dtype=q_1Hnd.dtype).masked_fill_(hidden, float("-inf"))


def seen(queries: int, keys: int, window: int | None, device: torch.device) -> Tensor:
    """(n, m) whether a query sees a key: the last query is at the place of the last key."""
    seen_nm = torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)
    return seen_nm if window is None else seen_nm.triu(keys - queries - window)
