"""Attention from the new tokens of several sequences to all of their tokens, the known ones included.

Shapes: T new tokens of all sequences back to back, n of one; H query heads, K key and value heads, m tokens of a
sequence, d head width; in a step, which brings one token of each of B sequences, G query heads of a key head, C places.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from finetune.llama.packed_attention import packed_attention, seen

MANY = 8  # sequences from which on a CPU is faster without torch's kernel, by up to a quarter; of one it takes longer


def attend_rows(
    q_THd: Tensor, keys: Sequence[Tensor], values: Sequence[Tensor], lengths: Sequence[int], window: int | None
) -> Tensor:
    """Causal softmax attention, scaled by 1 / sqrt(d); a sequence's last new token sees its last key.

    Args:
        q_THd: queries of the new tokens.
        keys: (K, m, d) of each sequence, the new ones last.
        values: the same.
        lengths: new tokens of each sequence.
        window: how many tokens before itself a token sees; None = all.

    Returns:
        (T, H, d) outputs.
    """
    if q_THd.is_cuda and q_THd.dtype in (torch.bfloat16, torch.float16):
        totals = [each.shape[1] for each in keys]
        k_UKd, v_UKd = (torch.cat([x.transpose(0, 1) for x in each]) for each in (keys, values))
        starts = [_bounds(each, q_THd.device) for each in (lengths, totals)]
        packed: Tensor = packed_attention(q_THd, k_UKd, v_UKd, *starts, max(totals), -1 if window is None else window)[
            0
        ]
        return packed
    outs = []
    for q_nHd, k_Kmd, v_Kmd in zip(torch.split(q_THd, list(lengths)), keys, values, strict=True):
        out_1Hnd = scaled_dot_product_attention(
            q_nHd.transpose(0, 1)[None],
            k_Kmd[None],
            v_Kmd[None],
            attn_mask=seen(len(q_nHd), k_Kmd.shape[1], window, q_THd.device),
            enable_gqa=q_nHd.shape[1] != k_Kmd.shape[0],
        )
        outs.append(out_1Hnd[0].transpose(0, 1))
    return torch.cat(outs)


def attend_step(q_BKGd: Tensor, keys_BKCd: Tensor, values_BKCd: Tensor, bias_B11C: Tensor) -> Tensor:
    """(B, K, G, d) softmax attention of one token a sequence, scaled by 1 / sqrt(d).

    Args:
        q_BKGd: its queries.
        keys_BKCd: of every place.
        values_BKCd: the same.
        bias_B11C: added to the scores: -inf at places that are not seen.
    """
    if q_BKGd.device.type != "cpu" or q_BKGd.dtype.itemsize < 4 or len(q_BKGd) < MANY:
        return scaled_dot_product_attention(q_BKGd, keys_BKCd, values_BKCd, attn_mask=bias_B11C)
    # Keys first: their product with few queries reads each but once, in the order that they lie in.
    scores_BKCG = keys_BKCd @ (q_BKGd * q_BKGd.shape[-1] ** -0.5).mT
    weights_BKGC = (scores_BKCG.mT + bias_B11C).softmax(-1)
    out_BKGd: Tensor = weights_BKGC @ values_BKCd
    return out_BKGd


def _bounds(lengths: Sequence[int], device: torch.device) -> Tensor:
    return torch.tensor([0, *lengths]).cumsum(0).to(device, torch.int32)
