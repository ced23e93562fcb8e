"""Token shards as Megatron-LM writes them: `.bin`, the ids of many documents, and `.idx`, where each one lies.

The index is a header (`MMIDIDX`, version 1, the type of an id, how many sequences, how many document marks), then the
length of each sequence (int32), where it begins in bytes (int64), and the marks: the number of the first sequence of
each document, and of the end (int64). The format and its codes are those of Megatron-LM's
`megatron/core/datasets/indexed_dataset.py`; NeMo, GPT-NeoX and datatrove write it, too.
"""

import hashlib
import struct
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from camelid.errors import UserError
from camelid.files.paths import missing_file_error
from camelid.files.write import atomic_write_binary

MAGIC = b"MMIDIDX\x00\x00"
VERSION = 1
HEADER = struct.Struct("<9sQBQQ")
DTYPES = {1: "u1", 2: "i1", 3: "<i2", 4: "<i4", 5: "<i8", 8: "<u2"}  # those that hold ids
SMALL = 1 << 16  # ids below it take 2 bytes


@dataclass(frozen=True)
class Shard:
    """One pair of files.

    Attributes:
        ids: (n,) token ids, on disk.
        starts: (documents,) int64 where each document begins in `ids`.
        lengths: (documents,) int64 its tokens.
    """

    ids: npt.NDArray[np.generic]
    starts: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]


def id_dtype(vocabulary: int) -> str:
    """How ids are stored: in 2 bytes where the vocabulary is small enough, else in 4."""
    return "<u2" if vocabulary <= SMALL else "<i4"


def shard_files(path: Path) -> list[Path]:
    """The `.idx` files that a path means: of a pair named by either file, or all in a folder; else none.

    Raises:
        UserError: one file of a pair is missing.
    """
    if path.is_dir():
        found = sorted(path.rglob("*.idx"))
    else:
        found = [path.with_suffix(".idx")] if path.suffix in (".bin", ".idx") else []
    for index in found:
        for file in (index, index.with_suffix(".bin")):
            if not file.is_file():
                raise missing_file_error(file)
    return found


def shard_hash(index: Path) -> str:
    """A hash of a pair: of the whole index, and of the ids' size and 64 pages of them, for they may be terabytes."""
    digest = hashlib.sha256(index.read_bytes())
    ids = index.with_suffix(".bin")
    size = ids.stat().st_size
    digest.update(str(size).encode())
    with ids.open("rb") as file:
        for place in sorted({size * step // 64 for step in range(64)}):
            file.seek(place)
            digest.update(file.read(4096))
    return digest.hexdigest()


def read_shard(index: Path) -> Shard:
    """Open a pair; the ids stay on disk.

    Args:
        index: the `.idx` file; the `.bin` file lies beside it.

    Raises:
        UserError: either file is damaged, of another kind, or does not fit the other.
    """
    content = index.read_bytes()
    if len(content) < HEADER.size or not content.startswith(MAGIC):
        raise UserError(f"{index}: not an index of Megatron's (its first bytes are not {MAGIC[:7].decode()})")
    _, version, code, sequences, marks = HEADER.unpack_from(content)
    if version != VERSION or code not in DTYPES:
        raise UserError(f"{index}: version {version} with ids of type {code}; version 1 with whole numbers is read")
    dtype = np.dtype(DTYPES[code])
    if len(content) < HEADER.size + 12 * sequences + 8 * marks:
        raise UserError(f"{index}: ends before its {sequences:,} sequences do; it was not written to its end")
    lengths = np.frombuffer(content, "<i4", sequences, HEADER.size).astype(np.int64)
    pointers = np.frombuffer(content, "<i8", sequences, HEADER.size + 4 * sequences)
    documents = np.frombuffer(content, "<i8", marks, HEADER.size + 12 * sequences)
    ends = pointers // dtype.itemsize + lengths
    ids_file = index.with_suffix(".bin")
    size = ids_file.stat().st_size // dtype.itemsize
    if sequences and int(ends.max()) > size:
        raise UserError(f"{ids_file}: holds {size:,} ids, but its index goes up to {int(ends.max()):,}")
    ids = np.memmap(ids_file, dtype, "r") if size else np.zeros(0, dtype)
    return Shard(ids, *_documents(index, lengths, pointers // dtype.itemsize, documents))


def _documents(
    index: Path, lengths: npt.NDArray[np.int64], starts: npt.NDArray[np.int64], marks: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Start and length of each document: of the sequences (sentences, say) between two marks."""
    if marks.size and (marks[0] != 0 or marks[-1] != lengths.size or (np.diff(marks) < 0).any()):
        raise UserError(f"{index}: its documents do not cover its {lengths.size:,} sequences in order")
    if marks.size <= 1:
        return starts.astype(np.int64), lengths
    if (starts[1:] != (starts + lengths)[:-1]).any():
        raise UserError(f"{index}: its sequences do not lie one behind the other")
    places = np.append(starts, starts[-1:] + lengths[-1:]) if lengths.size else np.zeros(1, dtype=np.int64)
    bounds = places[marks]
    filled = np.diff(bounds) > 0
    return bounds[:-1][filled], np.diff(bounds)[filled]


def write_shard(prefix: Path, documents: Iterable[npt.NDArray[np.int32]], vocabulary: int) -> int:
    """Write a pair, one sequence a document; it appears whole, the index last.

    Args:
        prefix: path of both files without their suffix.
        documents: the ids of each, whole; an empty one is left out.
        vocabulary: number of token ids, which decides how they are stored.

    Returns:
        The number of tokens.
    """
    dtype, sizes = np.dtype(id_dtype(vocabulary)), array("i")
    with atomic_write_binary(prefix.with_name(f"{prefix.name}.bin")) as file:
        for ids in documents:
            if ids.size:
                file.write(ids.astype(dtype).tobytes())
                sizes.append(ids.size)
    lengths = np.array(sizes, dtype=np.int64)
    code = next(code for code, name in DTYPES.items() if np.dtype(name) == dtype)
    with atomic_write_binary(prefix.with_name(f"{prefix.name}.idx")) as file:
        file.write(HEADER.pack(MAGIC, VERSION, code, lengths.size, lengths.size + 1))
        file.write(lengths.astype("<i4").tobytes())
        file.write(((lengths.cumsum() - lengths) * dtype.itemsize).astype("<i8").tobytes())
        file.write(np.arange(lengths.size + 1, dtype="<i8").tobytes())
    return int(lengths.sum())
