"""Files written are whole or not there; logs survive a kill."""

import json
from pathlib import Path

import pytest

from camelid.files.read import read_jsonl
from camelid.files.write import AppendLog, atomic_write, write_jsonl


def test_round_trip_keeps_unicode(tmp_path: Path) -> None:
    records = [{"text": 'Grüße, 世界 \u2028 "x"\n'}, {"n": 1.5, "none": None}]
    assert write_jsonl(tmp_path / "a.jsonl", records) == 2
    assert [record for _, record in read_jsonl(tmp_path / "a.jsonl")] == records


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
