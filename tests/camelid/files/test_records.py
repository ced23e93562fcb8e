"""Files of every kind, whole, broken and huge."""

import gzip
import json
import resource
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pyarrow.parquet
import pytest

from camelid.errors import UserError
from camelid.files.records import read_records, scan_records

RECORDS: list[dict[str, Any]] = [
    {"id": str(n), "text": 'é\\"[{ ' * n, "list": [n, None], "inner": {"a": -1.5e3}} for n in range(600)
]


def values(path: Path) -> list[Any]:
    return [record for _, record in read_records(path)]


def test_every_kind_of_file(tmp_path: Path) -> None:
    lines = "".join(json.dumps(record) + "\n" for record in RECORDS)
    (tmp_path / "a.jsonl").write_text(lines)
    (tmp_path / "a.json").write_text(json.dumps(RECORDS, ensure_ascii=False, indent=1))
    with gzip.open(tmp_path / "a.jsonl.gz", "wt") as file:
        file.write(lines)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(RECORDS), tmp_path / "a.parquet")
    data = datasets.Dataset.from_list(RECORDS)
    data.save_to_disk(str(tmp_path / "folder"))
    datasets.DatasetDict({"train": data, "test": data.select([0])}).save_to_disk(str(tmp_path / "splits"))
    for name in ("a.jsonl", "a.json", "a.jsonl.gz", "a.parquet", "folder"):
        assert [r["text"] for r in values(tmp_path / name)] == [r["text"] for r in RECORDS], name
    places = [place for place, _ in read_records(tmp_path / "splits")]
    assert len(places) == 601 and places[-1] == f"{tmp_path / 'splits' / 'test'}[0]"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'[{"a": 1},\n{"a": "x', r":2: broken JSON in record 1: the file ends inside the record"),
        (b'[{"a": 1},\n', r":2: broken JSON in record 1: the file ends inside the record"),
        (b'[{"a": 1}\n', r":2: broken JSON in record 1: expected ',', the file ends"),
        (b'[{"a": 1}\n{"a": 2}]', r":2: broken JSON in record 1: expected ',', found '\{'"),
        (b'[\n{"a" 1}' + b", {}" * 100 + b"]", r":2: broken JSON in record 0: Expecting ':' delimiter"),
        (b'[{"a": 1}]\n[', r":2: broken JSON in record 1: there is more behind the array's end"),
        (b'[{"a": "\xff"}]', r": not UTF-8 text, in or soon after record 0"),
        (b"[" * 100_000, r":1: broken JSON in record 0: nested too deeply"),
        (b'[{"a": ' + b"1" * 5000 + b"}]", r":1: broken JSON in record 0: Exceeds the limit"),
        (b"[1, 2]", r"\[0\]: expected a JSON object, found int"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", r": a binary file, expected JSON or JSON Lines"),
        (b"hello\n", r":1: broken JSON at column 1"),
        (b'{"a": 1', r":1: broken JSON at column"),
        (b'{\n"a: 1}', r":2: broken JSON in record 0: the file ends inside the record"),
        (b'{\n"a": 1\n"b": 2}', r":3: broken JSON in record 0: expected ',', found '\"'"),
        (b"{\n1: 2}", r":2: broken JSON in record 0: expected the name of a field"),
        (b'{"a": 1,\n"b": 2}\n]', r":3: broken JSON in record 1: expected '\{', found '\]'"),
        (b'{"data": [{"a": 1}, 2]}', r": data\[1\]: expected a JSON object, found int"),
        (b'{"data": [{"a": 1},\n{"a": "x', r":2: broken JSON in record 1: the file ends inside the record"),
        (b'{"a": "x\n{"a": "y"}', r":1: broken JSON at column .*; expected one JSON object a line"),
        (b'{"a": ' + b"[" * 100_000, r":1: JSON is nested too deeply"),
    ],
)
def test_broken_files_are_one_error_with_a_place(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"bad\.json" + message) as caught:
        values(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("indent", [None, 0, 2])
def test_a_file_of_whole_objects(tmp_path: Path, indent: int | None) -> None:
    """One object, several, or one that holds the records, however the lines break."""
    path, many = tmp_path / "a.json", RECORDS[:50]
    path.write_text(json.dumps(RECORDS[7], indent=indent))
    assert values(path) == [RECORDS[7]]
    path.write_text("\n".join(json.dumps(record, indent=indent) for record in many))
    assert values(path) == many
    for held in ({"data": many}, {"version": [1], "data": many, "count": 50}):
        path.write_text(json.dumps(held, indent=indent))
        assert values(path) == many
        assert [place for place, _ in read_records(path)][49] == f"{path}: data[49]"
    for alone in ({"data": ["Why?", "Because."], "id": 1}, {"data": {"a": 1}}, {"data": []}, {"data": [1]}):
        path.write_text(json.dumps(alone, indent=indent))
        assert values(path) == [alone]
    lines = [{"data": [{"a": 1}]}, {"data": [{"a": 2}]}]
    path.write_text("\n".join(map(json.dumps, lines)))
    assert values(path) == lines


def test_a_bad_line_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a":\n\xff\n[]\n\n{"a": 2}\n{"a": 3')
    found = [
        record if isinstance(record, dict) else str(record).removeprefix(str(path)) for _, record in scan_records(path)
    ]
    assert found[0] == {"a": 1} and found[4] == {"a": 2}
    assert [str(fault)[:3] for fault in found if isinstance(fault, str)] == [":2:", ":3:", ":4:", ":7:"]


@pytest.mark.parametrize("name", ["a.parquet", "folder", "a.jsonl.gz"])
def test_broken_binary_formats(tmp_path: Path, name: str) -> None:
    if name == "folder":
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).write_bytes(b"PAR1 not really")
    with pytest.raises(UserError, match=name):
        values(tmp_path / name)
    with pytest.raises(UserError, match="no such file"):
        values(tmp_path / f"missing-{name}")


@pytest.mark.slow
@pytest.mark.parametrize("start", [b'{"text": "', b'[{"text": "'])
def test_a_line_of_200_mb_is_one_error_in_bounded_memory(tmp_path: Path, start: bytes) -> None:
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.write(start)
        for _ in range(200):
            file.write(b"x" * 1_000_000)
        file.write(b'"}]' if start.startswith(b"[") else b'"}\n')
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match=r"huge\.json:1: .*64 MiB"):
        values(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600_000  # KiB
