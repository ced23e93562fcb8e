"""Keys and values of sequences that come and go: one row each, in memory that has a limit.

Shapes: B rows in use, C tokens of room in a row, K key and value heads, d head width.
"""

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from finetune.llama.attention import Documents, attention
from finetune.llama.config import LlamaConfig

STEP = 64  # the room of a row is a multiple of it


class Slots:
    """The cache of a running batch; rows in use are always the first B.

    Args:
        config: the model's shape.
        most_tokens: rows times room of a row never exceeds it.
        dtype, device: of the buffers.

    Attributes:
        lengths: tokens read so far, for each row in use.
    """

    def __init__(self, config: LlamaConfig, most_tokens: int, dtype: torch.dtype, device: torch.device) -> None:
        self.lengths: list[int] = []
        self._most_tokens, self._device = most_tokens, device
        empty = torch.zeros(0, config.kv_heads, 0, config.head_size, dtype=dtype, device=device)
        self._keys = [empty for _ in range(config.num_hidden_layers)]
        self._values = [empty for _ in range(config.num_hidden_layers)]
        self._joining = 0
        self._at_B = self._seen_B11C = torch.empty(0)

    @property
    def bytes(self) -> int:
        """Memory taken now."""
        return 2 * len(self._keys) * self._keys[0].nbytes

    def fits(self, rows: int, longest: int) -> bool:
        """Whether there may be so many rows, one of them with so many tokens."""
        return rows * round_up(longest) <= self._most_tokens

    def join(self, count: int, longest: int) -> None:
        """Add rows for the prompts of the next forward pass.

        Args:
            count: how many.
            longest: most tokens of any row in use, the new ones included, prompt and answer.
        """
        self._reserve(len(self.lengths) + count, round_up(longest))
        self.lengths += [0] * count
        self._joining = count

    def leave(self, row: int) -> None:
        """Free a row; the last one takes its place."""
        last = len(self.lengths) - 1
        if row != last:
            used = self.lengths[last]
            for buffers in (self._keys, self._values):
                for buffer in buffers:
                    buffer[row, :, :used] = buffer[last, :, :used]
            self.lengths[row] = used
        self.lengths.pop()

    def step(self) -> tuple[Tensor, Documents]:
        """Prepare a pass that brings one token for every row; return their positions, (B,)."""
        rows = len(self.lengths)
        self._at_B = torch.tensor(self.lengths, device=self._device)
        places_C = torch.arange(max(self.lengths) + 1, device=self._device)
        self._seen_B11C = (places_C[None] <= self._at_B[:, None])[:, None, None]
        return self._at_B, Documents.from_lengths([1] * rows, self._device)

    def attend(self, layer: int, q_THd: Tensor, k_TKd: Tensor, v_TKd: Tensor, documents: Documents) -> Tensor:
        """Store the new keys and values, then attend from the new tokens to all of their row."""
        keys, values = self._keys[layer], self._values[layer]
        if self._joining:
            first = len(self.lengths) - self._joining
            lengths = list(documents.lengths)
            stored = zip(torch.split(k_TKd, lengths), torch.split(v_TKd, lengths), strict=True)
            for row, (k_nKd, v_nKd) in enumerate(stored, start=first):
                keys[row, :, : len(k_nKd)] = k_nKd.transpose(0, 1)
                values[row, :, : len(v_nKd)] = v_nKd.transpose(0, 1)
            return attention(q_THd, k_TKd, v_TKd, documents)
        rows, used = len(self.lengths), self._seen_B11C.shape[-1]
        rows_B = torch.arange(rows, device=self._device)
        keys[rows_B, :, self._at_B] = k_TKd
        values[rows_B, :, self._at_B] = v_TKd
        out_BH1d = scaled_dot_product_attention(
            q_THd[:, :, None],
            keys[:rows, :, :used],
            values[:rows, :, :used],
            attn_mask=self._seen_B11C,
            enable_gqa=q_THd.shape[1] != k_TKd.shape[1],
        )
        return out_BH1d[:, :, 0]

    def advance(self, new: Tensor) -> None:
        """Count the tokens of one forward pass: of the prompts that joined, or one for every row."""
        first = len(self.lengths) - self._joining if self._joining else 0
        for row, count in enumerate(new.tolist(), start=first):
            self.lengths[row] += count
        self._joining = 0

    def _reserve(self, rows: int, room: int) -> None:
        """Make the buffers large enough; one layer after the other, so that memory never holds all of it twice."""
        there, _, had, _ = self._keys[0].shape
        if rows <= there and room <= had:
            return
        if rows * max(room, had) <= self._most_tokens:
            room = max(room, had)
        rows = min(max(rows, 2 * there), self._most_tokens // room)
        kept, used = len(self.lengths), max(self.lengths, default=0)
        for buffers in (self._keys, self._values):
            for layer, old in enumerate(buffers):
                grown = torch.zeros(rows, old.shape[1], room, old.shape[3], dtype=old.dtype, device=old.device)
                grown[:kept, :, :used] = old[:kept, :, :used]
                buffers[layer] = grown


def round_up(tokens: int) -> int:
    """The room that a row for so many tokens takes."""
    return -(-tokens // STEP) * STEP
