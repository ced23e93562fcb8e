"""Files read: errors name the place."""

from pathlib import Path

import pytest

from camelid.errors import UserError
from camelid.files.read import read_json, read_jsonl


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
