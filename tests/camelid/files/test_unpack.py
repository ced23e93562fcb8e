"""Packed files are known by their bytes, whatever their names."""

import bz2
import gzip
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from camelid.errors import UserError
from camelid.files.records import read_records

LINES = b'{"a": 1}\n{"a": 2}\n'


def zstd_frame(content: bytes) -> bytes:
    """A frame with its content in one raw block (RFC 8878, 3.1.1)."""
    block = (len(content) << 3 | 1).to_bytes(3, "little")  # the last one, raw
    return b"\x28\xb5\x2f\xfd" + b"\x20" + bytes([len(content)]) + block + content


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, "Zstandard": zstd_frame,
}  # fmt: skip


def values(path: Path) -> list[object]:
    return [record for _, record in read_records(path)]


@pytest.mark.parametrize("packing", PACKERS)
@pytest.mark.parametrize("name", ["data.jsonl", "data", "data.json.gz", "data.zst"])
def test_packed_files_are_read_by_content(tmp_path: Path, packing: str, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(PACKERS[packing](LINES))
    assert values(path) == [{"a": 1}, {"a": 2}]
    path.write_bytes(PACKERS[packing](LINES) + PACKERS[packing](b'{"a": 3}\n'))  # parts joined, as `cat` does
    assert values(path) == [{"a": 1}, {"a": 2}, {"a": 3}]
    path.write_bytes(PACKERS[packing](b'[{"a": 1},\n{"a": 2}]'))
    assert values(path) == [{"a": 1}, {"a": 2}]
    path.write_bytes(LINES)  # a name promises nothing
    assert values(path) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("packing", PACKERS)
def test_a_file_that_was_cut_short_is_broken(tmp_path: Path, packing: str) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(PACKERS[packing](LINES)[:-9])
    with pytest.raises(UserError, match=rf"data\.jsonl: broken {packing} file"):
        values(path)


def archive(path: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(name.replace("__", "/").replace("_", "."), content)
    return path


def test_an_archive_with_one_file_of_records_is_read(tmp_path: Path) -> None:
    assert values(archive(tmp_path / "a.zip", data_jsonl=LINES, read_md=b"x")) == [{"a": 1}, {"a": 2}]
    export = archive(tmp_path / "b.zip", user_json=b"{}", conversations_json=b'[{"a": 1}]', chat_html=b"x")
    assert values(export) == [{"a": 1}]
    assert values(archive(tmp_path / "c.zip", folder__table_csv=b"a,b\n1,2\n")) == [{"a": "1", "b": "2"}]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a_jsonl": LINES, "b_jsonl": LINES}, r"holds a\.jsonl, b\.jsonl; unpack it, and name the file to read"),
        ({"read_md": b"x"}, "holds no file of records; unpack it"),
    ],
)
def test_an_archive_in_which_no_file_stands_out(tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    with pytest.raises(UserError, match=rf"a\.zip: {message}"):
        values(archive(tmp_path / "a.zip", **files))


def test_a_broken_archive(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", a_jsonl=LINES)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(UserError, match=r"a\.zip: broken zip file"):
        values(path)
