"""What tests of this room share."""

import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from camelid.app.cli import main
from camelid.files.ledger import Ledger
from camelid.files.read import Record, read_json, read_jsonl

CorpusCommand = Callable[..., tuple[int, str, str]]
"""The words behind `camelid corpus` to (exit status, stdout, stderr)."""


@pytest.fixture
def corpus(capsys: pytest.CaptureFixture[str]) -> CorpusCommand:
    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(["corpus", *map(str, words)])
        out, error = capsys.readouterr()
        return status, out, error

    return run


@pytest.fixture
def real_data() -> Path:
    """The folder of published files; skips without it."""
    folder = os.environ.get("CAMELID_REAL_DATA")
    if not folder:
        pytest.skip("CAMELID_REAL_DATA is not set")
    return Path(folder)


def records(folder: Path) -> list[Record]:
    """The records of a folder that a command wrote, in order."""
    return [record for path in sorted((folder / "data").glob("*.jsonl.gz")) for _, record in read_jsonl(path)]


def texts(folder: Path) -> list[str]:
    return [record["text"] for record in records(folder)]


def ledger(folder: Path, unit: str = "documents") -> Ledger:
    ledgers = [Ledger.from_json(one) for one in read_json(folder / "ledger.json")["ledgers"]]
    return next(one for one in ledgers if one.unit == unit)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a folder with its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def numbered(count: int, words: int, seed: int = 0) -> Iterator[str]:
    """Texts of made-up words, no two of which share a run of five."""
    import random

    rng = random.Random(seed)
    for _ in range(count):
        yield " ".join(f"w{rng.randrange(10**6)}" for _ in range(words))


@pytest.fixture(scope="session")
def gensim_wikis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dumps of Wikipedia that come with gensim 4.4.0 on the package index: 206 English pages, 3 Bulgarian in UTF-16."""
    folder = tmp_path_factory.mktemp("gensim")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), "gensim==4.4.0"]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("gensim's wheel cannot be had from the package index")
    with zipfile.ZipFile(next(folder.glob("gensim*"))) as wheel:
        names = [name for name in wheel.namelist() if re.search(r"test_data/.*wiki.*\.bz2$", name)]
        for name in names:
            (folder / Path(name).name).write_bytes(wheel.read(name))
    return folder
