"""Raw text comes back as it was written, whatever kind of file holds it."""

import gzip
import json
import re
from pathlib import Path

import pytest

from camelid.app.cli import main
from camelid.errors import UserError
from camelid.files.texts import read_texts

TEXTS = ["one\n\nparagraph\n", "", "世界\t "]


def test_files_of_every_kind_in_a_folder_are_read_by_their_names(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    lines = "".join(json.dumps({"text": text, "source": "x"}) + "\n" for text in TEXTS)
    (tmp_path / "a.txt").write_text(TEXTS[0])
    (tmp_path / "b.jsonl").write_text(lines)
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    pyarrow.parquet.write_table(pyarrow.table({"text": TEXTS}), tmp_path / "d.parquet")
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "f.txt.gz").write_bytes(gzip.compress(TEXTS[2].encode()))
    (tmp_path / ".hidden").write_text("not this")
    read = list(read_texts(tmp_path))
    assert [text for _, text in read] == [TEXTS[0], *TEXTS, *TEXTS, *TEXTS, TEXTS[2]]
    assert [place.removeprefix(f"{tmp_path}/") for place, _ in read][:3] == ["a.txt", "b.jsonl:1", "b.jsonl:2"]


def test_of_a_corpus_its_texts_alone_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not its ledgers and card; also of several in one folder."""
    for name in ("books", "news"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"text": f"All about {name}. " * 9, "id": 1}) + "\n")
        raw, folder = str(tmp_path / f"{name}.jsonl"), str(tmp_path / "corpus" / name)
        assert main(["corpus", "read", "text", raw, "--output", folder]) == 0
    (tmp_path / "corpus" / "README.md").write_text("A card.")
    assert [text.split()[2] for _, text in read_texts(tmp_path / "corpus")] == ["books.", "news."]
    assert len(list(read_texts(tmp_path / "corpus" / "news"))) == 1


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.txt", b"ok \xff", r"a\.txt: not UTF-8 text \(byte 3\)"),
        ("a.jsonl", b'{"text": 3}', r"a\.jsonl:1: field 'text' must be a string, found int"),
        ("a.jsonl", b'{"txt": "x", "id": 1}', r"a\.jsonl:1: field 'text' must be a string, its fields are txt, id"),
        ("a.pdf", b"%PDF", r"a\.pdf: neither text nor records by its name \(\.txt, "),
        ("a.pdf.txt.zip", b"x", r"a\.pdf\.txt\.zip: neither text nor records"),
    ],
)
def test_what_is_no_text_is_named(name: str, content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=says):
        list(read_texts(tmp_path / name))


def test_nothing_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=re.escape(f"{tmp_path}: no files in this folder")):
        list(read_texts(tmp_path))
    with pytest.raises(UserError, match=r"x\.txt: no such file"):
        list(read_texts(tmp_path / "x.txt"))
