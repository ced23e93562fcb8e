"""Tables of text: what a spreadsheet writes, and what is wrong with a row."""

import csv
import io
from pathlib import Path

import pytest

from camelid.app.cli import main
from camelid.errors import UserError
from camelid.files.records import read_records, scan_records

ROWS = [
    {"prompt": 'Say "hi", please', "completion": "hi;\nho\r\nlast"},
    {"prompt": "Zahl?\t", "completion": "1,5"},
    {"prompt": "你好", "completion": ""},
]


@pytest.mark.parametrize(
    ("name", "delimiter"), [("a.csv", ","), ("a.CSV", ";"), ("a.tsv", "\t"), ("a.csv", "\t"), ("a.csv.gz", ",")]
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_table_is_read_to_the_byte(tmp_path: Path, name: str, delimiter: str, encoding: str) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, ["prompt", "completion"], delimiter=delimiter)
    writer.writeheader()
    writer.writerows(ROWS)
    (tmp_path / name).write_bytes(text.getvalue().encode(encoding))
    found = list(read_records(tmp_path / name))
    assert [row for _, row in found] == ROWS
    assert [place for place, _ in found] == [f"{tmp_path / name}:{line}" for line in (2, 5, 6)]


def test_rows_of_another_length_are_named_and_the_rest_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2\n\n1\n1,2,3\n3,4\n")
    found = [row if isinstance(row, dict) else str(row) for _, row in scan_records(tmp_path / "a.csv")]
    assert found == [
        {"a": "1", "b": "2"},
        f"{tmp_path}/a.csv:4: 1 cells, but the header has 2",
        f"{tmp_path}/a.csv:5: 3 cells, but the header has 2",
        {"a": "3", "b": "4"},
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,a\n1,2\n", r":1: every column needs a name of its own, found \['a', 'a'\]"),
        (b"a,\n1,2\n", r":1: every column needs a name of its own"),
        (b'a,b\n1,2\n"x"y,2\n', ":3: broken CSV"),
        (b'a,b\n1,"never ends\n', ":2: broken CSV"),
        (b"a,b\n1,\xff\n", ": not UTF-8 text"),
    ],
)
def test_what_cannot_be_read_on_is_an_error(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.csv" + message):
        list(scan_records(tmp_path / "a.csv"))


def test_convert_reads_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_text("instruction,input,output\nAdd.,1 2,3\nTell.,,yes\n")
    command = ["conversations", "convert", str(tmp_path / "a.csv"), "--output", str(tmp_path / "out.jsonl"), "--quiet"]
    assert main(command) == 0
    assert [row["messages"][0]["content"] for _, row in read_records(tmp_path / "out.jsonl")] == [
        "Add.\n\n1 2",
        "Tell.",
    ]
    assert "read 2 conversations: kept 2, dropped 0" in capsys.readouterr().out
