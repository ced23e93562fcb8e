"""Keys and values of what a batch of sequences has already read."""

from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from finetune.llama.attention import Documents, attention


class KeyValues(Protocol):
    """What the model needs of a cache: `Cache` here, or the slots of a server."""

    def attend(self, layer: int, q_THd: Tensor, k_TKd: Tensor, v_TKd: Tensor, documents: Documents) -> Tensor:
        """Store the new keys and values, then attend from the new tokens to everything stored."""
        ...

    def advance(self, new: Tensor) -> None:
        """Count the tokens of one forward pass, per sequence."""
        ...


class Cache:
    """Room for B sequences of up to `capacity` tokens, filled by a prompt pass, then one token a step.

    Args:
        layers: decoder layers.
        sequences: B.
        capacity: longest sequence, prompt and answer.
        heads, head_size: of keys and values.
        dtype, device: of the buffers.
    """

    def __init__(
        self, layers: int, sequences: int, capacity: int, heads: int, head_size: int, dtype: torch.dtype, device: str
    ) -> None:
        shape = (layers, sequences, heads, capacity, head_size)
        self._keys = torch.zeros(shape, dtype=dtype, device=device)
        self._values = torch.zeros(shape, dtype=dtype, device=device)
        self.lengths = torch.zeros(sequences, dtype=torch.long, device=device)

    def attend(self, layer: int, q_THd: Tensor, k_TKd: Tensor, v_TKd: Tensor, documents: Documents) -> Tensor:
        """Store the new keys and values, then attend from the new tokens to everything stored.

        The first pass brings whole prompts, one document a sequence; later ones bring one token each.
        """
        if not bool(self.lengths.any()):
            lengths = list(documents.lengths)
            stored = zip(torch.split(k_TKd, lengths), torch.split(v_TKd, lengths), strict=True)
            for row, (k_nKd, v_nKd) in enumerate(stored):
                self._keys[layer, row, :, : len(k_nKd)] = k_nKd.transpose(0, 1)
                self._values[layer, row, :, : len(v_nKd)] = v_nKd.transpose(0, 1)
            return attention(q_THd, k_TKd, v_TKd, documents)
        rows = torch.arange(len(self.lengths), device=self.lengths.device)
        self._keys[layer, rows, :, self.lengths] = k_TKd
        self._values[layer, rows, :, self.lengths] = v_TKd
        used = int(self.lengths.max()) + 1
        seen_BT = torch.arange(used, device=self.lengths.device)[None] <= self.lengths[:, None]
        out_BH1d = scaled_dot_product_attention(
            q_THd[:, :, None],
            self._keys[layer, :, :, :used],
            self._values[layer, :, :, :used],
            attn_mask=seen_BT[:, None, None],
            enable_gqa=q_THd.shape[1] != k_TKd.shape[1],
        )
        return out_BH1d[:, :, 0]

    def advance(self, new: Tensor) -> None:
        """Count the tokens of one forward pass, per sequence."""
        self.lengths += new

    def keep(self, rows: Tensor) -> None:
        """Drop all sequences but `rows`."""
        self._keys, self._values = self._keys[:, rows], self._values[:, rows]
        self.lengths = self.lengths[rows]
