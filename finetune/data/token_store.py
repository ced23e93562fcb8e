"""How tokens lie on disk: ids back to back, 2 bytes each where they fit, loss weights only where a form has them.

A cache folder holds, beside `facts.json`:

- `ids-N.bin` and perhaps `weights-N.f32` of each source that was tokenised; token shards stay where they are;
- `starts.npy` (int64) and `lengths.npy` (int32): where each document lies, counted through all stores;
- `conversation.npy` (int64): the record that each document belongs to;
- `content.npy` (uint64): a hash of each document's ids;
- `used.npy` (int64): the ids that occur.

Caches of older versions hold all ids in `ids.i32`, all weights in `weights.f32`, and `bounds.npy`; they are read.
"""

from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from finetune.data.forms.form import TokenizedDocument
from finetune.data.hold_out import content_hash
from finetune.data.shards import id_dtype, read_shard

BLOCK = 1 << 20  # documents that are shuffled and packed together, however many there are
SCAN = 1 << 24  # ids looked at together


@dataclass(frozen=True)
class TokenStore:
    """Ids back to back: of one source, of one of its shards, or of all sources in a cache of an older version.

    Attributes:
        ids: (n,) token ids, on disk, as whole numbers of any width.
        weights: (n,) float32 loss weight of each as a target; None: 1, and 0 for a document's first.
        source: its place among the sources of the recipe; None where that is not known.
    """

    ids: npt.NDArray[Any]
    weights: npt.NDArray[np.float32] | None
    source: int | None


@dataclass(frozen=True)
class TokenTable:
    """Which documents the stores of a cache hold.

    Attributes:
        stores: the ids.
        starts: (documents,) int64 where each begins, counted through all stores.
        lengths: (documents,) int64 its tokens.
        conversation: (documents,) int64 the record that each belongs to.
        content: (documents,) uint64 a hash of its ids; None in a cache of version 0.2 or before.
        used: (n,) int64 the ids that occur.
        block: documents that are shuffled and packed together.
    """

    stores: tuple[TokenStore, ...]
    starts: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    conversation: npt.NDArray[np.int64]
    content: npt.NDArray[np.uint64] | None
    used: npt.NDArray[np.int64]
    block: int


class TokenWriter:
    """Writes the arrays of a cache folder.

    Args:
        folder: exists, and is empty.
        vocabulary: number of token ids.

    Attributes:
        stores: what `facts.json` says of each store, in order.
    """

    def __init__(self, folder: Path, vocabulary: int) -> None:
        self._folder, self._dtype = folder, np.dtype(id_dtype(vocabulary))
        self._used = np.zeros(vocabulary, dtype=bool)
        self._end = 0  # of all stores so far
        self._starts, self._lengths, self._conversation, self._content = array("q"), array("i"), array("q"), array("Q")
        self.stores: list[dict[str, Any]] = []

    @contextmanager
    def source_store(self, source: int, weighted: bool) -> Iterator[Callable[[int, TokenizedDocument], None]]:
        """A store for the documents of a source, which are given with the number of their record."""
        ids_name, weights_name = f"ids-{source}.bin", f"weights-{source}.f32" if weighted else None
        first = self._end
        with ExitStack() as opened:
            ids_file = opened.enter_context((self._folder / ids_name).open("wb"))
            weights_file = opened.enter_context((self._folder / weights_name).open("wb")) if weights_name else None

            def add(number: int, document: TokenizedDocument) -> None:
                self._note(number, self._end, document.ids)
                ids_file.write(document.ids.astype(self._dtype).tobytes())
                if weights_file is not None:
                    assert document.weights is not None
                    weights_file.write(document.weights.tobytes())
                self._end += document.ids.size

            yield add
        store = {"source": source, "ids": ids_name, "dtype": self._dtype.str, "weights": weights_name}
        self.stores.append({**store, "tokens": self._end - first})

    @contextmanager
    def shard_store(
        self, source: int, shard: str, ids: npt.NDArray[Any]
    ) -> Iterator[Callable[[int, Sequence[tuple[int, int]]], None]]:
        """A store that is somebody's shard; the number of a record comes with the places of its documents in it."""

        def add(number: int, places: Sequence[tuple[int, int]]) -> None:
            for start, end in places:
                self._note(number, self._end + start, ids[start:end].astype(np.int32))

        yield add
        self._end += ids.size
        self.stores.append({"source": source, "shard": shard, "tokens": ids.size})

    def _note(self, number: int, start: int, ids: npt.NDArray[np.int32]) -> None:
        self._starts.append(start)
        self._lengths.append(ids.size)
        self._conversation.append(number)
        self._content.append(content_hash(ids))
        highest = int(ids.max())
        if highest >= self._used.size:  # of a shard that another tokenizer wrote
            self._used = np.append(self._used, np.zeros(highest + 1 - self._used.size, dtype=bool))
        self._used[ids] = True

    @property
    def documents(self) -> int:
        return len(self._starts)

    def close(self) -> None:
        """Write the table of documents."""
        np.save(self._folder / "starts.npy", np.frombuffer(self._starts, np.int64))
        np.save(self._folder / "lengths.npy", np.frombuffer(self._lengths, np.int32))
        np.save(self._folder / "conversation.npy", np.frombuffer(self._conversation, np.int64))
        np.save(self._folder / "content.npy", np.frombuffer(self._content, np.uint64))
        np.save(self._folder / "used.npy", np.flatnonzero(self._used))


def read_table(folder: Path, facts: dict[str, Any], shards: Callable[[int, str], Path]) -> TokenTable:
    """The documents of a cache folder, whatever version wrote it; ids stay on disk.

    Args:
        folder: the cache folder.
        facts: its `facts.json`.
        shards: where the shard of a source lies that `facts` names.
    """
    if (folder / "ids.i32").is_file():
        return _read_older(folder)
    return TokenTable(
        stores=tuple(_open_store(folder, store, shards) for store in facts["stores"]),
        starts=np.load(folder / "starts.npy", mmap_mode="r"),
        lengths=np.load(folder / "lengths.npy").astype(np.int64),
        conversation=np.load(folder / "conversation.npy", mmap_mode="r"),
        content=np.load(folder / "content.npy", mmap_mode="r"),
        used=np.load(folder / "used.npy"),
        block=BLOCK,
    )


def _open_store(folder: Path, store: dict[str, Any], shards: Callable[[int, str], Path]) -> TokenStore:
    source = int(store["source"])
    if "shard" in store:
        return TokenStore(read_shard(shards(source, store["shard"])).ids, None, source)
    weights = _map(folder / store["weights"], np.float32) if store["weights"] else None
    return TokenStore(_map(folder / store["ids"], np.dtype(store["dtype"])), weights, source)


def _read_older(folder: Path) -> TokenTable:
    """A cache in which all sources lie in one file, shuffled as one block."""
    ids, bounds = _map(folder / "ids.i32", np.int32), np.load(folder / "bounds.npy")
    content = folder / "content.npy"
    parts = [np.unique(ids[at : at + SCAN]) for at in range(0, ids.size, SCAN)]
    return TokenTable(
        stores=(TokenStore(ids, _map(folder / "weights.f32", np.float32), None),),
        starts=bounds[:-1],
        lengths=np.diff(bounds),
        conversation=np.load(folder / "conversation.npy"),
        content=np.load(content) if content.is_file() else None,
        used=np.unique(np.concatenate(parts)).astype(np.int64),
        block=bounds.size,
    )


def _map(path: Path, dtype: Any) -> npt.NDArray[Any]:
    return np.memmap(path, dtype, "r") if path.stat().st_size else np.zeros(0, dtype)
