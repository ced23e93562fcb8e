"""Books: what Project Gutenberg puts around them."""

from pathlib import Path

from tests.corpus.conftest import CorpusCommand, ledger, records, texts

NEW = """The Project Gutenberg eBook of Tides, by A. Moon

Title: Tides
Author: A. Moon
Language: English

*** START OF THE PROJECT GUTENBERG EBOOK TIDES ***

Produced by Someone and the
Online Team

CHAPTER I

The sea rises.

*** END OF THE PROJECT GUTENBERG EBOOK TIDES ***

Updated editions will replace the previous one. START: FULL LICENSE
"""
OLD = """Etext of Ebb*****

*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*

The sea falls.

End of the Project Gutenberg Etext of Ebb
"""


def test_headers_and_licences_go(tmp_path: Path, corpus: CorpusCommand) -> None:
    (tmp_path / "raw").mkdir()
    for name, text in {"a.txt": NEW, "b.txt": OLD, "c.txt": "My own book.\n", "d.txt": " \n"}.items():
        (tmp_path / "raw" / name).write_bytes(text.replace("\n", "\r\n").encode())
    corpus("read", "gutenberg", tmp_path / "raw", "--output", tmp_path / "out", "--quiet")
    assert texts(tmp_path / "out") == ["CHAPTER I\n\nThe sea rises.\n", "The sea falls.\n", "My own book.\n"]
    meta = records(tmp_path / "out")[0]["meta"]
    assert (meta["title"], meta["author"]) == ("Tides", "A. Moon")
    assert ledger(tmp_path / "out").repaired == {"Project Gutenberg's header and licence removed": 2}
    assert ledger(tmp_path / "out").dropped == {"no text in it": 1}
