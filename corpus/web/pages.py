"""Pages out of WET files (the text is there) and WARC files (it is taken out of the HTML)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from camelid.files.ledger import Ledger
from camelid.files.read import open_binary
from corpus.reader import RawPart, find_files, one_part_a_file
from corpus.record import mended
from corpus.web.html_page import HTML, ServerResponse, html_to_text, read_response
from corpus.web.warc import WarcRecord, read_warc

ENDINGS = (".wet", ".wet.gz", ".warc", ".warc.gz", ".warc.txt", ".warc.bz2", ".warc.zst", ".warc.xz")


@dataclass(frozen=True, slots=True)
class WebPage:
    """A page of the web.

    Attributes:
        title: the page's own, or the first line of a WET record; also the first line of `text`, which may be empty.
        text: lines without blanks around them.
    """

    url: str
    date: str
    title: str
    text: str


def page_parts(inputs: Sequence[Path]) -> list[RawPart]:
    """Each WET or WARC file by itself."""
    return one_part_a_file(find_files(inputs, ENDINGS, "WET or WARC file"))


def read_pages(part: RawPart, documents: Ledger) -> Iterator[WebPage]:
    """Yield the pages of a part; every record of another kind is counted by what it is."""
    for path in part.paths:
        with open_binary(path) as file:
            for record in read_warc(file, documents):
                page = _page(record)
                if isinstance(page, WebPage):
                    yield page
                else:
                    documents.drop(page, example=record.url)


def _page(record: WarcRecord) -> WebPage | str:
    """The page in a record, or why there is none."""
    date = record.headers.get("warc-date", "")
    if record.type == "conversion":
        lines = [line.strip() for line in mended(record.body.decode("utf-8", "replace")).split("\n")]
        text = "\n".join(lines).rstrip("\n")
        return WebPage(record.url, date, lines[0], text)
    if record.type == "resource":  # as it was kept, without the answer of a server
        response = ServerResponse(200, record.headers.get("content-type", "").lower(), "", record.body)
    elif record.type == "response":
        response = read_response(record.body)
    else:
        return f"record of type {record.type or 'unknown'}"
    if response.kind not in HTML:
        return f"{record.type} of type {response.kind or 'unknown'}"
    if response.status != 200:
        return f"{record.type}, HTTP status {response.status}"
    title, text = html_to_text(response.body, response.charset)
    lines = [line.strip() for line in mended(text).split("\n")]
    return WebPage(record.url, date, mended(title), "\n".join([mended(title), *lines]).rstrip("\n"))
