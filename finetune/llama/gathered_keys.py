"""Keys and values of documents that several processes share, each with its part of the tokens (context parallelism).

Every process computes its own queries, keys and values; keys and values are gathered from all, so that each query finds
what stands before it (as in Llama 3, Dubey et al. 2024, section 3.3.2).
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed
from torch.autograd import Function


@dataclass(frozen=True)
class GatheredKeys:
    """What the pieces of this process see, among the keys of all processes that share the documents.

    Attributes:
        places: (keys,) int64 where the keys of each piece, from its document's first on, lie in what is gathered: the
            tokens of the first process, then of the next, as many each.
        starts: (pieces + 1,) int32 cumulative numbers of keys (`cu_seqlens_k` of flash-attn).
        group: the processes.
    """

    places: Tensor
    starts: Tensor
    group: distributed.ProcessGroup


class _Gather(Function):
    """The rows of all processes, one after the other; backwards each process's own, summed over all."""

    @staticmethod
    def forward(ctx: Any, rows_TX: Tensor, group: distributed.ProcessGroup) -> Tensor:
        ctx.group = group
        gathered = rows_TX.new_empty(len(rows_TX) * group.size(), *rows_TX.shape[1:])
        distributed.all_gather_into_tensor(gathered, rows_TX.contiguous(), group=group)
        return gathered

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        gathered = grads[0].contiguous()
        own = gathered.new_empty(len(gathered) // ctx.group.size(), *gathered.shape[1:])
        distributed.reduce_scatter_tensor(own, gathered, group=ctx.group)
        return own, None


def gather_keys(k_TKd: Tensor, v_TKd: Tensor, gathered: GatheredKeys) -> tuple[Tensor, Tensor]:
    """(keys, K, d) each: what each piece sees, one after the other, in one message of all processes."""
    both_T2Kd: Tensor = _Gather.apply(torch.stack((k_TKd, v_TKd), dim=1), gathered.group)  # type: ignore[no-untyped-call]
    k_UKd, v_UKd = both_T2Kd[gathered.places].unbind(1)
    return k_UKd, v_UKd
