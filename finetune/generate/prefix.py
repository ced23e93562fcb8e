"""Beginnings of sequences whose keys and values are known, so that they need not be read again.

Shapes: K key and value heads, n tokens, d head width.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

LEAST = 16  # tokens; a shorter beginning is read again sooner than found

TokenArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Prefix:
    """Keys and values of the first tokens of a sequence, (K, n, d) of each layer."""

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]

    @property
    def tokens(self) -> int:
        return self.keys[0].shape[1]

    @property
    def bytes(self) -> int:
        return sum(each.nbytes for each in (*self.keys, *self.values))

    def first(self, tokens: int) -> "Prefix":
        """The beginning of it, in the same memory."""
        return Prefix(tuple(k[:, :tokens] for k in self.keys), tuple(v[:, :tokens] for v in self.values))

    def copied(self) -> "Prefix":
        """The same in memory of its own."""
        return Prefix(tuple(k.clone() for k in self.keys), tuple(v.clone() for v in self.values))


@dataclass(frozen=True, eq=False)
class _Kept:
    ids: TokenArray
    owner: object
    prefix: Prefix


class KeptPrefixes:
    """What was read and written lately, for prompts that begin with it: system prompts, earlier turns of a chat.

    Args:
        most_tokens: of all that is kept; what was used longest ago goes first.

    Attributes:
        tokens, bytes: taken now.
    """

    def __init__(self, most_tokens: int) -> None:
        self._most, self.tokens, self.bytes = most_tokens, 0, 0
        self._kept: OrderedDict[int, _Kept] = OrderedDict()  # latest use last
        self._alike: dict[tuple[object, bytes], set[int]] = {}  # numbers of those with the same first LEAST tokens
        self._next = 0

    def find(self, ids: Sequence[int], owner: object) -> Prefix | None:
        """The longest beginning of a sequence that is kept, but its last token, which is always read.

        Args:
            ids: of the sequence.
            owner: what else the keys depend on, compared by identity: the adapter.
        """
        wanted = np.asarray(ids, dtype=np.int64)
        best, length = None, LEAST - 1
        for number in self._alike.get(_key(wanted, owner), ()):
            shared = common(self._kept[number].ids, wanted[:-1])
            if shared > length:
                best, length = number, shared
        if best is None:
            return None
        self._kept.move_to_end(best)
        return self._kept[best].prefix.first(length)

    def add(self, ids: Sequence[int], owner: object, prefix: Prefix) -> None:
        """Keep a sequence's keys and values, which are copied; it takes the place of those that it goes on from."""
        kept = _Kept(np.asarray(ids, dtype=np.int64), owner, prefix)
        size = len(kept.ids)
        if not LEAST <= size <= self._most:
            return
        for number in list(self._alike.get(_key(kept.ids, owner), ())):
            shared = common(self._kept[number].ids, kept.ids)
            if shared == size:
                self._kept.move_to_end(number)
                return
            if shared == len(self._kept[number].ids):
                self._drop(number)
        while self.tokens + size > self._most:
            self._drop(next(iter(self._kept)))
        kept = _Kept(kept.ids, owner, prefix.copied())
        self._kept[self._next] = kept
        self._alike.setdefault(_key(kept.ids, owner), set()).add(self._next)
        self._next += 1
        self.tokens, self.bytes = self.tokens + size, self.bytes + kept.prefix.bytes

    def forget(self, owner: object) -> None:
        """Drop what an owner that is gone has left."""
        for number in [number for number, kept in self._kept.items() if kept.owner is owner]:
            self._drop(number)

    def _drop(self, number: int) -> None:
        kept = self._kept.pop(number)
        alike = self._alike[_key(kept.ids, kept.owner)]
        alike.remove(number)
        if not alike:
            del self._alike[_key(kept.ids, kept.owner)]
        self.tokens, self.bytes = self.tokens - len(kept.ids), self.bytes - kept.prefix.bytes


def common(one: TokenArray, other: TokenArray) -> int:
    """How many first tokens two sequences share."""
    length = min(len(one), len(other))
    differ = one[:length] != other[:length]
    return int(differ.argmax()) if differ.any() else length


def _key(ids: TokenArray, owner: object) -> tuple[object, bytes]:
    return id(owner), ids[:LEAST].tobytes()
