"""WET and WARC files, whole and broken, and C4's rules."""

import gzip
import importlib.util
import random
from collections import Counter
from pathlib import Path

import pytest

from camelid.files.write import write_jsonl
from corpus.web.c4 import clean_page
from corpus.web.html_page import read_response
from corpus.web.sentences import count_sentences
from tests.corpus.conftest import CorpusCommand, ledger, records, texts

needs_html = pytest.mark.skipif(
    importlib.util.find_spec("resiliparse") is None, reason="resiliparse is not installed (extra corpus)"
)


def warc_record(
    kind: str, body: bytes, url: str = "http://x.org/a b", more: str = "", length: int | None = None
) -> bytes:
    head = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\n{more}WARC-Target-URI: {url}\r\nWARC-Date: 2024-01-01T00:00:00Z\r\n"
        f"Content-Length: {len(body) if length is None else length}\r\n\r\n"
    )
    return head.encode() + body + b"\r\n\r\n"


def http(body: bytes, more: str = "", kind: str = "text/html; charset=utf-8", status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{more}\r\n".encode() + body


def read(
    corpus: CorpusCommand, tmp_path: Path, content: bytes, name: str = "x.warc.wet.gz", source: str = "wet"
) -> Path:
    (tmp_path / name).write_bytes(content)
    corpus("read", source, tmp_path / name, "--output", tmp_path / "out", "--quiet")
    return tmp_path / "out"


def test_headers_in_any_order_and_more_of_them(tmp_path: Path, corpus: CorpusCommand) -> None:
    """cc_net reads the length from line 8, which crawls of today have another header in; its URLs are cut at blanks."""
    more = "WARC-Identified-Content-Language: eng\r\nWARC-Refers-To-Target-URI: y\r\n"
    wet = warc_record("warcinfo", b"x: y") + warc_record("conversion", b"Title\nOne line.\n\nTwo lines.", more=more)
    out = read(corpus, tmp_path, gzip.compress(wet[:100]) + gzip.compress(wet[100:]))
    [record] = records(out)
    assert record["text"] == "One line.\n\nTwo lines."
    assert record["meta"]["title"] == "Title" and record["meta"]["url"] == "http://x.org/a b"
    assert ledger(out).dropped == {"record of type warcinfo": 1}


@pytest.mark.parametrize("wrong", [-9, 7])
def test_a_wrong_length_loses_no_record(wrong: int, tmp_path: Path, corpus: CorpusCommand) -> None:
    body = b"Title\nfirst page, quite short"
    wet = warc_record("conversion", body, length=len(body) + wrong) + warc_record("conversion", b"Title\nsecond page")
    out = read(corpus, tmp_path, wet, "x.warc")
    assert texts(out) == ["first page, quite short", "second page"]
    assert ledger(out).repaired == {"wrong Content-Length": 1}


def test_a_file_that_breaks_off(tmp_path: Path, corpus: CorpusCommand) -> None:
    noise = random.Random(0).randbytes(100_000).hex().encode()
    wet = warc_record("conversion", b"Title\nwhole") + warc_record("conversion", b"Title\n" + noise)
    out = read(corpus, tmp_path, gzip.compress(wet)[:20_000])
    assert texts(out) == ["whole"] and ledger(out).dropped == {"the file breaks off in it": 1}


@needs_html
def test_html_out_of_its_encodings(tmp_path: Path, corpus: CorpusCommand) -> None:
    page = "<html><head><title>Tides</title></head><body><nav><a href=x>Home</a></nav><main><p>Tides are made by the "
    page += "moon, which draws the sea, mostly.</p><p>Café.</p></main><script>var x = 1;</script></body></html>"
    chunked = b"".join(
        f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in (page.encode()[:50], page.encode()[50:])
    )
    bodies = [
        http(page.encode()),
        http(chunked + b"0\r\n\r\n", "Transfer-Encoding: chunked\r\n"),
        http(gzip.compress(page.encode()), "Content-Encoding: gzip\r\n"),
        http(page.encode(), "Transfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n"),  # said, and not so
        http(page.encode("latin-1"), kind="text/html; charset=ISO-8859-1"),
        http(page.encode()).replace(b"\r\n", b"\n"),
    ]
    warc = b"".join(warc_record("response", body) for body in bodies)
    warc += warc_record("response", http(b"x", kind="image/png")) + warc_record(
        "response", http(b"x", status="404 Gone")
    )
    warc += warc_record("request", b"GET / HTTP/1.1\r\n\r\n")
    out = read(corpus, tmp_path, warc, "x.warc")
    wanted = "Tides are made by the moon, which draws the sea, mostly.\n\nCafé."
    assert texts(out) == [wanted] * 6 and records(out)[0]["meta"]["title"] == "Tides"
    assert ledger(out).dropped == {
        "response of type image/png": 1, "response, HTTP status 404": 1, "record of type request": 1,
    }  # fmt: skip


def test_a_response_without_headers_is_no_page() -> None:
    assert read_response(b"garbage").status == 0


@needs_html
@pytest.mark.parametrize(("name", "read_", "kept"), [("sample-0000", 48, 22), ("warcfile", 50, 16), ("clipped", 1, 0)])
def test_real_warc_files(
    name: str, read_: int, kept: int, real_data: Path, tmp_path: Path, corpus: CorpusCommand
) -> None:
    corpus("read", "wet", real_data / "corpus" / f"{name}.warc.gz", "--output", tmp_path / "out", "--quiet")
    documents = ledger(tmp_path / "out")
    assert (documents.read, documents.kept) == (read_, kept)
    assert ("the file breaks off in it" in documents.dropped) == (name == "clipped")


def test_real_wet_sample(real_data: Path, tmp_path: Path, corpus: CorpusCommand) -> None:
    """The known answer is cc_net's own test (`test_parse_wet_file`): its lines end in bare newlines."""
    corpus("read", "wet", real_data / "corpus" / "ccnet_sample.warc.txt", "--output", tmp_path / "out", "--quiet")
    found = records(tmp_path / "out")
    assert [record["meta"]["url"] for record in found] == [
        "http://sample_english.com", "http://sample_chinese.zh", "http://sample_russian.ru",
    ]  # fmt: skip
    assert [record["meta"]["date"] for record in found] == [f"2019-03-18T00:00:0{second}Z" for second in range(3)]
    assert [record["meta"]["title"] for record in found] == [
        "Famous Mark Twain Quotes", "馬克·吐溫名言", "Цитаты знаменитого Марка Твена",
    ]  # fmt: skip
    assert found[0]["text"].endswith("Fiction is obliged to stick to possibilities. Truth isn't.")
    assert [record["meta"]["language"] for record in found] == ["en", "zh", "ru"]


LONG = "This is a line of quite some words."


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("Four words are here.", "fewer than 5 words"),
        ("Five words are right here.", None),
        ("It ends in a quotation \"mark\"", None),
        ("It ends in an apostrophe 'mark'", "no end mark"),
        ("It is cut off in the...", "no end mark"),
        (f"It has {'x' * 1001} in it and goes on.", "a word of more than 1,000 characters"),
        ("You must enable JavaScript to see this.", "javascript"),
        ("Read our Privacy Policy before you go on.", "policy"),
        ("Count words after [12] citations go.", None),
        ("Only four [12] words [edit] here.", "fewer than 5 words"),
    ],
)  # fmt: skip
def test_c4_lines(line: str, wanted: str | None) -> None:
    dropped: Counter[str] = Counter()
    kept = clean_page("\n".join([LONG, LONG, LONG, line]), dropped)
    assert len(kept) == (4 if wanted is None else 3) and dropped == ({} if wanted is None else {wanted: 1})


@pytest.mark.parametrize(
    ("page", "wanted"),
    [
        (f"{LONG} {LONG}\n{LONG}", [f"{LONG} {LONG}", LONG]),
        (f"{LONG}\n{LONG}", "fewer than 3 sentences"),
        (f"{LONG}\n{LONG}\n{LONG}\nLorem ipsum dolor sit amet, all of it.", "lorem ipsum"),
        (f"{LONG}\n{LONG}\n{LONG}\nIt has a {{ in it, as code has.", "a curly bracket"),
    ],
)
def test_c4_pages(page: str, wanted: list[str] | str) -> None:
    assert clean_page(page, Counter()) == wanted


def test_sentences_as_punkt_counts_them() -> None:
    """NLTK's own tokenizer, untrained, on made-up lines; what it was trained on are abbreviations alone."""
    punkt = pytest.importorskip("nltk.tokenize.punkt", reason="nltk is not installed").PunktSentenceTokenizer()
    rng = random.Random(0)
    pieces = "Word word J. 3. 12 end. end! end? ... x.y wait... A.".split()
    for _ in range(800):
        line = " ".join(rng.choices(pieces, k=rng.randint(1, 9)))
        assert count_sentences(line) == len(punkt.tokenize(line)), line


def test_c4_of_texts_counts_lines(tmp_path: Path, corpus: CorpusCommand) -> None:
    pages = [
        f"Menu\n{LONG}\n{LONG}\n{LONG}",
        f"{LONG}\nToo short.\n{LONG}",
        f"{LONG}\n{{\n{LONG}\n{LONG}\nIf x {{ then y }} so it is.",
    ]
    write_jsonl(tmp_path / "pages.jsonl", ({"text": page} for page in pages))
    corpus("read", "c4", tmp_path / "pages.jsonl", "--output", tmp_path / "out", "--quiet")
    assert texts(tmp_path / "out") == [f"{LONG}\n{LONG}\n{LONG}"]
    assert ledger(tmp_path / "out").dropped == {"fewer than 3 sentences": 1, "a curly bracket": 1}
    lines = ledger(tmp_path / "out", "lines")
    assert lines.read == 12 and lines.kept == 3
    assert lines.dropped == {"no end mark": 2, "fewer than 5 words": 1, "in a page that was dropped": 6}
