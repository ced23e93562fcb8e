"""The TeX files of a paper: a folder, one file, or the archive that arXiv has of it."""

import gzip
import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from camelid.files.read import open_binary
from corpus.plain import decode_any
from corpus.reader import ReadCounts

ENDINGS = (".tex", ".ltx", ".latex")
_READ = (*ENDINGS, ".sty", ".cls", ".def", ".tikz", ".txt")  # what \input and \usepackage may name
_MAX = 64 << 20  # bytes of a file; no paper's text is longer


@dataclass(frozen=True)
class PaperFiles:
    """A paper as its author sent it.

    Attributes:
        name: of the paper.
        texts: by path within the paper, in the order of the paths; the files' encodings are mended.
    """

    name: str
    texts: dict[str, str]


def papers_at(path: Path, counts: ReadCounts) -> Iterator[PaperFiles]:
    """The papers at a path: of arXiv's bulk archives there are thousands in one."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in _READ and file.is_file())
        content = {file.relative_to(path).as_posix(): file.read_bytes() for file in files}
        yield PaperFiles(path.name, _decode(content, counts))
    elif path.suffix.lower() in ENDINGS:
        beside = sorted(file for file in path.parent.iterdir() if file.suffix.lower() in _READ and file.is_file())
        texts = _decode({file.name: file.read_bytes() for file in beside}, counts)
        yield PaperFiles(path.stem, {path.name: texts.pop(path.name), **texts})
    else:
        with open_binary(path) as file:
            yield from _unpack(path.name, file.read() if path.suffix != ".tar" else path, counts)


def _unpack(name: str, content: bytes | Path, counts: ReadCounts) -> Iterator[PaperFiles]:
    """A tar of TeX files is a paper, a tar of packed files is many; what is no tar is one file."""
    try:
        archive = tarfile.open(fileobj=content.open("rb") if isinstance(content, Path) else io.BytesIO(content))  # noqa: SIM115
    except (tarfile.TarError, EOFError):
        if isinstance(content, bytes) and content[:4] != b"%PDF":
            yield PaperFiles(_stem(name), {"main.tex": decode_any(content[:_MAX], counts)})
        else:
            yield PaperFiles(_stem(name), {})
        return
    own: dict[str, bytes] = {}
    with archive:
        for member in archive:
            suffix = PurePosixPath(member.name).suffix.lower()
            if not member.isfile() or member.size > _MAX:
                continue
            taken = archive.extractfile(member)
            if taken is None:
                continue
            if suffix in _READ:
                own[member.name] = taken.read()
            elif suffix in (".gz", ".pdf"):
                packed = taken.read()
                try:
                    inside = gzip.decompress(packed) if suffix == ".gz" else packed
                except (OSError, EOFError):
                    inside = b"%PDF"  # as good as: nothing of it can be read
                yield from _unpack(PurePosixPath(member.name).name, inside, counts)
    if own:
        yield PaperFiles(_stem(name), _decode(dict(sorted(own.items())), counts))


def _stem(name: str) -> str:
    for ending in (".gz", ".tgz", ".tar", ".pdf"):
        name = name.removesuffix(ending)
    return name


def _decode(content: dict[str, bytes], counts: ReadCounts) -> dict[str, str]:
    return {name: decode_any(data[:_MAX], counts) for name, data in content.items()}
