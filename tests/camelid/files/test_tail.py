"""A file's end is what its lines say it is, read in blocks however long its lines are."""

import json
from pathlib import Path

import pytest

from camelid.errors import UserError
from camelid.files import tail
from camelid.files.tail import cut_after, records_from_end


@pytest.mark.parametrize("block", [1, 7, 64, 1 << 16])
@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_records_come_backwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, count: int) -> None:
    monkeypatch.setattr(tail, "BLOCK", block)
    path = tmp_path / "a.jsonl"
    lines = [json.dumps({"n": n, "text": "é" * (n * n % 40)}, ensure_ascii=False) + "\n" for n in range(count)]
    path.write_text("".join(lines) + '{"n": ')  # torn
    ends = [len("".join(lines[: n + 1]).encode()) for n in range(count)]
    found = [(end, record["n"]) for end, record in records_from_end(path)]
    assert found == list(zip(ends, range(count), strict=True))[::-1]
    cut_after(path, lambda record: record["n"] <= 20)
    assert path.read_text() == "".join(lines[:21])
    cut_after(path, lambda record: record["n"] < 0)
    assert path.read_text() == ""


def test_only_the_end_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("broken\n" + "".join(f'{{"n": {n}}}\n' for n in range(10_000)))
    cut_after(path, lambda record: record["n"] <= 9_990)
    assert path.read_text().endswith('{"n": 9990}\n') and path.read_text().startswith("broken\n")


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"n": 1}\n{"n"\n{"n": 3}\n')
    with pytest.raises(UserError, match="line 2 from the end: broken JSON"):
        list(records_from_end(path))
