"""Stack Exchange: threads, their order, and the sites that are taken."""

from pathlib import Path
from xml.sax.saxutils import quoteattr

import pytest

from corpus.stack_exchange import html_to_text
from tests.corpus.conftest import CorpusCommand, ledger, records, texts


def row(**given: object) -> str:
    return f"  <row {' '.join(f'{name}={quoteattr(str(value))}' for name, value in given.items())} />\n"


def question(number: int, **more: object) -> str:
    given = {"Title": f"Why {number}?", "Body": f"<p>Question <b>{number}</b></p>", "Score": 1, **more}
    return row(Id=number, PostTypeId=1, **given)


def answer(number: int, parent: int, score: int) -> str:
    return row(Id=number, PostTypeId=2, ParentId=parent, Score=score, Body=f"<p>answer {score}</p>")


def write_site(folder: Path, *rows: str) -> None:
    folder.mkdir(parents=True)
    xml = f'\ufeff<?xml version="1.0" encoding="utf-8"?>\n<posts>\n{"".join(rows)}</posts>'
    (folder / "Posts.xml").write_text(xml, encoding="utf-8")


def test_answers_come_by_score_as_a_number(tmp_path: Path, corpus: CorpusCommand) -> None:
    """As strings they are 9, 2, 10, -1: RedPajama's order, and data-juicer's."""
    scores = (2, -1, 10, 9)
    answers = [answer(10 + at, 1, score) for at, score in enumerate(scores)]
    write_site(tmp_path / "raw" / "cooking", *answers[:2], question(1), *answers[2:])
    corpus("read", "stackexchange", tmp_path / "raw", "--output", tmp_path / "out", "--quiet")
    assert texts(tmp_path / "out") == [
        "Q: Why 1?\n\nQuestion 1\n\n" + "\n\n".join(f"A: answer {n}" for n in (10, 9, 2, -1))
    ]
    assert records(tmp_path / "out")[0]["meta"] == {
        "site": "cooking", "id": 1, "date": "", "scores": [10, 9, 2, -1], "language": "en",
    }  # fmt: skip


def test_every_post_is_counted(tmp_path: Path, corpus: CorpusCommand) -> None:
    rows = [question(1), answer(2, 1, 5), question(3), answer(4, 99, 1), row(Id=5, PostTypeId=4, Body="wiki"),
            row(Id=6, PostTypeId=5), row(Id=7, PostTypeId=2, Score=1)]  # fmt: skip
    write_site(tmp_path / "raw" / "cooking", *rows)
    (tmp_path / "raw" / "cooking" / "Users.xml").write_text("<users></users>")
    one = ("--set", "min_answers=1")
    corpus("read", "stackexchange", tmp_path / "raw", "--output", tmp_path / "out", "--quiet", *one)
    posts, documents = ledger(tmp_path / "out", "posts"), ledger(tmp_path / "out")
    assert posts.read == 7 and posts.kept == 2
    assert posts.dropped == {
        "post of type 4": 1, "post of type 5": 1, "answer without its question": 2, "in a question that was dropped": 1,
    }  # fmt: skip
    assert documents.kept == 1 and documents.dropped == {"no answer": 1}


def test_the_largest_sites_are_found_by_counting(tmp_path: Path, corpus: CorpusCommand) -> None:
    for site, threads in (("small", 1), ("middle", 2), ("large", 3)):
        rows = [one for at in range(threads) for one in (question(10 * at + 1), answer(10 * at + 2, 10 * at + 1, 1))]
        write_site(tmp_path / "raw" / site, *rows)
    corpus("read", "stackexchange", tmp_path / "raw", "--output", tmp_path / "out", "--set", "largest=2", "--quiet")
    assert [record["meta"]["site"] for record in records(tmp_path / "out")] == ["large"] * 3 + ["middle"] * 2
    assert ledger(tmp_path / "out", "posts").dropped == {"site that is not among the 2 largest": 2}


def test_an_archive_of_the_dump(tmp_path: Path, corpus: CorpusCommand) -> None:
    py7zr = pytest.importorskip("py7zr", reason="py7zr is not installed (extra corpus)")
    write_site(tmp_path / "site", question(1), answer(2, 1, 5))
    with py7zr.SevenZipFile(tmp_path / "cooking.stackexchange.com.7z", "w") as archive:
        archive.write(tmp_path / "site" / "Posts.xml", "Posts.xml")
    corpus("read", "stackexchange", tmp_path / "cooking.stackexchange.com.7z", "--output", tmp_path / "out", "--quiet")
    assert records(tmp_path / "out")[0]["meta"]["site"] == "cooking.stackexchange.com"


def test_a_dump_that_breaks_off_is_told(tmp_path: Path, corpus: CorpusCommand) -> None:
    write_site(tmp_path / "raw" / "cooking", question(1), answer(2, 1, 5), question(3))
    path = tmp_path / "raw" / "cooking" / "Posts.xml"
    path.write_bytes(path.read_bytes()[:-40])
    corpus("read", "stackexchange", path, "--output", tmp_path / "out", "--quiet")
    assert len(texts(tmp_path / "out")) == 1
    assert ledger(tmp_path / "out", "posts").noted == {"file that breaks off": 1}


def test_html() -> None:
    body = (
        "<p>Use <code>a &lt; b</code>, see <a href='x'>this</a>.</p>\n\n<ul>\n<li>one</li>\n<li>two</li>\n</ul>\n"
        "<pre class='x'><code>if (a &lt; b)\n    return &quot;&amp;lt;&quot;;\n</code></pre>\n"
        "<p>End<br>now &amp; then</p>"
    )
    assert html_to_text(body) == (
        "Use a < b, see this.\n\n- one\n- two\n\nif (a < b)\n    return \"&lt;\";\n\nEnd\nnow & then"
    )  # fmt: skip
