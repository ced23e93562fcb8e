"""Keys and values of sequences that come and go: one row each, in memory that has a limit.

Shapes: B rows in use, C tokens of room in a row, K key and value heads, d head width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from finetune.generate.attend_rows import attend_rows, attend_step
from finetune.generate.prefix import Prefix
from finetune.llama.attention import Documents, attention

STEP = 64  # the room of a row is a multiple of it


class Slots:
    """The cache of a running batch; rows in use are always the first B.

    Before each pass of the model, `read` or `step` says what it brings. Heads and dtype are those that come: of a
    tensor-parallel model, this process's.

    Args:
        layers: of the model.
        most_tokens: rows times room of a row never exceeds it.
        device: where the model computes.

    Attributes:
        lengths: tokens of each row in use, those of the pass that was announced included.
        rows, room: of the memory, once the announced pass has reached every layer.
        version: of the memory; another one, and it lies elsewhere.
    """

    def __init__(self, layers: int, most_tokens: int, device: torch.device) -> None:
        self.lengths: list[int] = []
        self._most_tokens, self._device = most_tokens, device
        empty = torch.zeros(0, 0, 0, 0, device=device)
        self._keys, self._values = [empty] * layers, [empty] * layers
        self.rows = self.room = self.version = 0
        self._documents: list[int] = []  # lengths of the prompts to be read; none in a step
        self._source_of: list[int] = []  # for each new row, the prompt it holds
        self._prefixes: list[Prefix | None] = []  # of each prompt, what is known of it
        self._at_B, self._used = torch.empty(0), 0  # where a step's tokens go, and how many places of a row they see
        self._biases: dict[int | None, Tensor] = {}  # of the announced step by window, made when a layer asks
        self._into_N: Tensor | None = None  # where in a buffer the announced step's heads go, once a layer has asked

    @property
    def bytes(self) -> int:
        """Memory taken now."""
        return sum(buffer.nbytes for buffers in (self._keys, self._values) for buffer in buffers)

    def fits(self, rows: int, longest: int) -> bool:
        """Whether there may be so many rows, one of them with so many tokens."""
        return rows * round_up(longest) <= self._most_tokens

    def read(
        self, lengths: Sequence[int], source_of: Sequence[int], longest: int, prefixes: Sequence[Prefix | None] = ()
    ) -> None:
        """Prepare a pass that brings prompts, and add the rows that hold them.

        Args:
            lengths: tokens of each prompt that the pass brings.
            source_of: for each new row, the index of its prompt; several rows may share one.
            longest: most tokens of any row in use, the new ones included, prompt and answer.
            prefixes: of each prompt, keys and values of what comes before those tokens; none if there are none.
        """
        self._documents, self._source_of = list(lengths), list(source_of)
        self._prefixes = list(prefixes) or [None] * len(lengths)
        known = [prefix.tokens if prefix else 0 for prefix in self._prefixes]
        self.lengths += [known[source] + lengths[source] for source in source_of]
        self._plan_room(len(self.lengths), round_up(longest))

    def prefix(self, row: int) -> Prefix:
        """Keys and values of a row in use, in the memory of the cache."""
        used = self.lengths[row]
        keys, values = (tuple(each[row, :, :used] for each in buffers) for buffers in (self._keys, self._values))
        return Prefix(keys, values)

    def step(self) -> tuple[Tensor, Documents]:
        """Prepare a pass that brings one token for every row; return their positions, (B,)."""
        places_B = torch.tensor(self.advance(), device=self._device)
        return places_B, self.announce(places_B, max(self.lengths))

    def advance(self) -> list[int]:
        """Count one more token for every row; return where each will lie."""
        places = self.lengths
        self.lengths = [place + 1 for place in places]
        return places

    def announce(self, places_B: Tensor, used: int) -> Documents:
        """Say where a pass that brings one token a row puts them.

        Args:
            places_B: in each of the first B rows, of which some may not be in use.
            used: places of a row that the pass looks at, those that it must not see included.

        Returns:
            The tokens as documents, which lie on the host: a cache is all that tells them apart.
        """
        self._documents, self._source_of = [], []
        self._at_B, self._used, self._biases, self._into_N = places_B, used, {}, None
        return Documents.from_lengths([1] * len(places_B))

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

    def attend(self, layer: int, q_THd: Tensor, k_TKd: Tensor, v_TKd: Tensor, documents: Documents) -> Tensor:
        """Store the new keys and values, then attend from the new tokens to all of their row."""
        if self._documents:
            self._store(layer, k_TKd, v_TKd)
            if not any(self._prefixes):
                return attention(q_THd, k_TKd, v_TKd, documents)
            known_keys, known_values = self._known(self._keys[layer]), self._known(self._values[layer])
            return attend_rows(q_THd, known_keys, known_values, self._documents, documents.window)
        keys, values, rows = self._keys[layer], self._values[layer], len(self._at_B)
        if self._into_N is None:
            heads = torch.arange(rows * k_TKd.shape[1], device=self._device).view(rows, -1)
            self._into_N = (heads * self.room + self._at_B[:, None]).flatten()
        for buffer, x_TKd in ((keys, k_TKd), (values, v_TKd)):
            buffer.view(-1, x_TKd.shape[2]).index_copy_(0, self._into_N, x_TKd.flatten(0, 1))
        # Query heads that share keys stand where queries do: kernels that take a mask want as many heads of each.
        out_BKGd = attend_step(
            q_THd.reshape(rows, k_TKd.shape[1], -1, q_THd.shape[2]),
            keys[:rows, :, : self._used],
            values[:rows, :, : self._used],
            self._bias(documents.window, q_THd.dtype),
        )
        return out_BKGd.flatten(1, 2)

    def _store(self, layer: int, k_TKd: Tensor, v_TKd: Tensor) -> None:
        """Put a layer's new keys and values into the new rows, behind what is known of these."""
        first = len(self.lengths) - len(self._source_of)
        for number, (buffers, x_TKd) in enumerate(((self._keys, k_TKd), (self._values, v_TKd))):
            buffers[layer] = self._grown(buffers[layer], x_TKd, first)
            parts = torch.split(x_TKd, self._documents)
            for row, source in enumerate(self._source_of, start=first):
                prefix, begun = self._prefixes[source], 0
                if prefix is not None:
                    begun = prefix.tokens
                    buffers[layer][row, :, :begun] = (prefix.keys, prefix.values)[number][layer]
                buffers[layer][row, :, begun : begun + len(parts[source])] = parts[source].transpose(0, 1)

    def _known(self, buffer: Tensor) -> list[Tensor]:
        """(K, m, d) of each prompt that is being read, what was known of it and what is new."""
        first = len(self.lengths) - len(self._source_of)
        rows = [first + self._source_of.index(source) for source in range(len(self._documents))]
        return [buffer[row, :, : self.lengths[row]] for row in rows]

    def _bias(self, window: int | None, dtype: torch.dtype) -> Tensor:
        """(B, 1, 1, C) what is added to the scores: nothing for places that a row's new token sees, else -inf."""
        if window not in self._biases:
            places_C = torch.arange(self._used, device=self._device)
            hidden_BC = places_C[None] > self._at_B[:, None]
            if window is not None:
                hidden_BC |= places_C[None] < self._at_B[:, None] - window
            bias_BC = torch.zeros(hidden_BC.shape, dtype=dtype, device=self._device)
            self._biases[window] = bias_BC.masked_fill_(hidden_BC, float("-inf"))[:, None, None]
        return self._biases[window]

    def _plan_room(self, rows: int, room: int) -> None:
        """Choose how large the buffers must be."""
        if rows <= self.rows and room <= self.room:
            return
        self.version += 1
        if rows * max(room, self.room) <= self._most_tokens:
            room = max(room, self.room)
        self.rows, self.room = min(max(rows, 2 * self.rows), self._most_tokens // room), room

    def _grown(self, old: Tensor, x_TKd: Tensor, kept: int) -> Tensor:
        """A buffer as large as it must be; made when its layer is reached, so that memory never holds all twice."""
        if old.shape[0] == self.rows and old.shape[2] == self.room:
            return old
        _, heads, width = x_TKd.shape
        grown = torch.zeros(self.rows, heads, self.room, width, dtype=x_TKd.dtype, device=x_TKd.device)
        if kept:
            used = max(self.lengths[:kept])
            grown[:kept, :, :used] = old[:kept, :, :used]
        return grown


def round_up(tokens: int) -> int:
    """The room that a row for so many tokens takes."""
    return -(-tokens // STEP) * STEP
