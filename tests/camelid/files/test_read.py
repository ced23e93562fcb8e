"""Files: errors that name the place, writes that are whole or not there, logs that survive a kill."""

import json
from pathlib import Path

import pytest

from camelid.errors import UserError
from camelid.files.read import read_json, read_jsonl
from camelid.files.write import AppendLog, atomic_write, write_jsonl


def test_round_trip_keeps_unicode(tmp_path: Path) -> None:
    records = [{"text": 'Grüße, 世界 \u2028 "x"\n'}, {"n": 1.5, "none": None}]
    assert write_jsonl(tmp_path / "a.jsonl", records) == 2
    assert [record for _, record in read_jsonl(tmp_path / "a.jsonl")] == records


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1}\n\n{"a": \n', r":3: broken JSON at column \d+"),
        (b'{"a": 1}\n[1]\n', ":2: expected a JSON object, found list"),
        (b'{"a": 1}\n\xff\xfe\n', r":2: not UTF-8 text \(byte 0 of the line\)"),
    ],
)
def test_errors_name_file_and_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"bad\.jsonl" + message):
        list(read_jsonl(path))


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no\.jsonl: no such file"):
        list(read_jsonl(tmp_path / "no.jsonl"))
    with pytest.raises(UserError, match="is a folder"):
        list(read_jsonl(tmp_path))


def test_broken_json_on_a_later_line_of_a_document(tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_text('[\n  {"a": 1},\n  {"a": }\n]')
    with pytest.raises(UserError, match=r"bad\.json:3: broken JSON at column"):
        read_json(path)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_write(path) as file:
        file.write("half of the n")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("torn", [b'{"n": 2', b'{"n": 2, "text": "' + b"x" * 200_000, "é".encode()[:1]])
def test_a_log_cuts_its_torn_line(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"n": 0}\n{"n": 1}\n' + torn)
    with AppendLog(path) as log:
        assert log.torn == len(torn)
        log.append({"n": 3})
    assert [json.loads(line)["n"] for line in path.read_text().splitlines()] == [0, 1, 3]


def test_a_log_that_is_only_a_torn_line_becomes_empty(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_bytes(b'{"n"')
    AppendLog(tmp_path / "log.jsonl").close()
    assert (tmp_path / "log.jsonl").read_bytes() == b""
