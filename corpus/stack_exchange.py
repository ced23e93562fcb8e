"""`stackexchange`: the dumps of Stack Exchange's sites, a question with its answers a document, best answer first.

As LLaMA has them (Touvron et al. 2023, 2.1): of the 28 largest sites, without tags, answers by score. Sites are
counted, for the list of them (`Sites.xml`) is gone from the dumps.
"""

import html
import re
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from xml.etree.ElementTree import Element, ParseError, XMLPullParser

from camelid.errors import UserError
from camelid.files.ledger import Ledger
from camelid.files.paths import missing_file_error
from camelid.files.read import open_binary
from corpus.reader import RawPart, ReadCounts
from corpus.record import TextRecord, mended

# Of Posts.xml: meta.stackexchange.com/a/2678, "Posts", PostTypeId.
_QUESTION, _ANSWER = "1", "2"
_XML = re.compile(r"(.*)\.xml(?:\.(?:gz|bz2|xz|zst))?", re.IGNORECASE)
_TABLES = {"badges", "comments", "posthistory", "postlinks", "tags", "users", "votes", "sites"}  # beside Posts.xml
_BLOCK = 1 << 18
_PRE = re.compile(r"<pre\b[^>]*>(?:\s*<code\b[^>]*>)?(.*?)(?:</code>\s*)?</pre>", re.DOTALL | re.IGNORECASE)
_PARAGRAPH = re.compile(r"</(?:p|h[1-6]|ul|ol|blockquote|div|table)>\s*", re.IGNORECASE)
_LINE = re.compile(r"<(?:br|hr)\s*/?>[ \t]*\n?|</(?:li|tr)>\n?", re.IGNORECASE)
_ITEM = re.compile(r"<li\b[^>]*>\s*", re.IGNORECASE)
_TAG = re.compile(r"<!--.*?-->|</?[a-zA-Z][^<>]*>", re.DOTALL)
_HELD = re.compile("\ue000(\\d+)\ue001")


@dataclass(frozen=True)
class StackExchange:
    """The settings.

    Attributes:
        largest: how many sites are read, those with the most posts; LLaMA's 28.
        min_answers: questions with fewer are dropped; LLaMA says nothing of such.
    """

    largest: int = 28
    min_answers: int = 0

    def parts(self, inputs: Sequence[Path]) -> list[RawPart]:
        sites = [site for path in inputs for site in _sites(path)]
        if not sites:
            raise UserError(f"{', '.join(map(str, inputs))}: no Posts.xml and no site's .7z there")
        if len(sites) <= self.largest:
            return [RawPart(_site_name(path), (str(path),)) for path in sites]
        counted = {path: _count_posts(path) for path in sites}
        largest = sorted(sites, key=lambda path: (-counted[path], str(path)))[: self.largest]
        why = f"site that is not among the {self.largest} largest"
        return [
            RawPart(_site_name(path), (str(path),), "" if path in largest else why, counted[path], "posts")
            for path in sites
        ]

    def read(self, part: RawPart, source: str, counts: ReadCounts) -> Iterator[TextRecord]:
        for path in map(Path, part.paths):
            with tempfile.TemporaryDirectory() as folder, closing(sqlite3.connect(f"{folder}/posts.sqlite")) as posts:
                with _open_posts(path) as file:
                    _fill(posts, file, counts.of("posts"))
                for thread in _threads(posts):
                    yield from self._document(thread, part.name, source, counts)

    def _document(self, thread: list["_Post"], site: str, source: str, counts: ReadCounts) -> Iterator[TextRecord]:
        question, answers = thread[0], thread[1:]
        posts = counts.of("posts")
        if question.kind != _QUESTION:
            posts.drop("answer without its question", len(thread))
        elif len(answers) < self.min_answers:
            posts.drop("in a question that was dropped", len(thread))
            counts.documents.drop(
                "no answer" if not answers else f"fewer than {self.min_answers} answers", example=question.title
            )
        else:
            posts.keep(len(thread))
            title = html.unescape(question.title)
            texts = [
                f"Q: {title}\n\n{html_to_text(question.body)}",
                *(f"A: {html_to_text(one.body)}" for one in answers),
            ]
            meta = {"site": site, "id": question.id, "date": question.date, "scores": [one.score for one in answers]}
            yield TextRecord(mended("\n\n".join(texts)), source, meta)


@dataclass(frozen=True, slots=True)
class _Post:
    thread: int
    kind: str
    score: int
    id: int
    date: str
    title: str
    body: str


def html_to_text(body: str) -> str:
    """A post's HTML without tags: paragraphs and items of lists as lines, code as it is."""
    held: list[str] = []

    def hold(found: re.Match[str]) -> str:
        held.append(html.unescape(_TAG.sub("", found[1])).strip("\n"))
        return f"\n\ue000{len(held) - 1}\ue001\n\n"

    text = _PRE.sub(hold, body)
    text = _ITEM.sub("- ", _LINE.sub("\n", _PARAGRAPH.sub("\n\n", text)))
    text = html.unescape(_TAG.sub("", text))
    text = re.sub(r"\n\s*\n\s*", "\n\n", re.sub(r"[ \t]+\n", "\n", text)).strip()
    return _HELD.sub(lambda found: held[int(found[1])], text)


def _sites(path: Path) -> list[Path]:
    """A site is a folder with a `Posts.xml`, that file or one of the site's name, or the archive of the dump."""
    if not path.exists():
        raise missing_file_error(path)
    if path.is_file():
        return [path]
    if (path / "Posts.xml").is_file():
        return [path / "Posts.xml"]
    found: list[Path] = []
    for entry in sorted(path.iterdir()):
        if entry.is_dir():
            found += _sites(entry)
        elif entry.suffix == ".7z":
            found += [] if re.search(r"-(?!Posts)\w+\.7z$", entry.name) else [entry]
        elif (name := _XML.fullmatch(entry.name)) and name[1].lower() not in _TABLES:
            found.append(entry)
    return found


def _site_name(path: Path) -> str:
    """`cooking.stackexchange.com` of its folder, or of its archive's name."""
    if path.suffix == ".7z":
        return path.stem.removesuffix("-Posts")
    own = re.sub(r"[-_.]?(?:posts)?\.xml.*$", "", path.name, flags=re.IGNORECASE)
    return own or path.parent.name


@contextmanager
def _open_posts(path: Path) -> Iterator[IO[bytes]]:
    if path.suffix != ".7z":
        with open_binary(path) as file:
            yield file
        return
    try:
        import py7zr
    except ImportError:
        raise UserError(f"{path}: needs py7zr; pip install 'camelid[corpus]', or unpack it with 7z") from None
    with tempfile.TemporaryDirectory() as folder:
        with py7zr.SevenZipFile(path) as archive:
            names = [name for name in archive.getnames() if name.rpartition("/")[2] == "Posts.xml"]
            if not names:
                raise UserError(f"{path}: no Posts.xml in it")
            archive.extract(folder, targets=names[:1])
        with (Path(folder) / names[0]).open("rb") as file:
            yield file


def _count_posts(path: Path) -> int:
    """How many rows there are, without reading what is in them."""
    count, tail = 0, b""
    with _open_posts(path) as file:
        while block := file.read(_BLOCK):
            count += (tail + block).count(b"<row ") - tail.count(b"<row ")
            tail = block[-4:]
    return count


def _fill(posts: sqlite3.Connection, file: IO[bytes], ledger: Ledger) -> None:
    """Posts into a table on disk: answers come long after their questions, and there may be 60 million."""
    posts.execute("PRAGMA journal_mode = OFF")
    posts.execute("PRAGMA synchronous = OFF")
    posts.execute("CREATE TABLE post (thread INT, kind TEXT, score INT, id INT, date TEXT, title TEXT, body TEXT)")
    posts.executemany("INSERT INTO post VALUES (?, ?, ?, ?, ?, ?, ?)", _rows(file, ledger))
    posts.execute("CREATE INDEX by_thread ON post (thread, kind, score DESC, id)")


def _rows(file: IO[bytes], ledger: Ledger) -> Iterator[tuple[int, str, int, int, str, str, str]]:
    parser: Any = XMLPullParser(("start", "end"))
    root: Element | None = None
    while True:
        block = file.read(_BLOCK)
        try:
            parser.feed(block) if block else parser.close()
        except ParseError as error:
            ledger.note("file that breaks off")
            ledger.examples["file that breaks off"] = str(error)
            block = b""
        for event, element in parser.read_events():
            root = element if root is None else root
            if event == "end" and element.tag == "row":
                row = _row(element.attrib)
                if isinstance(row, str):
                    ledger.drop(row, example=str(element.attrib))
                else:
                    yield row
                root.clear()
        if not block:
            return


def _row(given: dict[str, str]) -> tuple[int, str, int, int, str, str, str] | str:
    """A question or answer for the table, or why it is neither."""
    kind = given.get("PostTypeId", "")
    if kind not in (_QUESTION, _ANSWER):
        return f"post of type {kind or 'unknown'}"
    own, parent = given.get("Id", ""), given.get("ParentId", "")
    thread = own if kind == _QUESTION else parent
    if not own.isdigit() or not thread.isdigit():
        return "answer without its question" if kind == _ANSWER else "post without an Id"
    score = given.get("Score", "0")
    number = int(score) if re.fullmatch(r"-?\d+", score) else 0
    return (
        int(thread),
        kind,
        number,
        int(own),
        given.get("CreationDate", ""),
        given.get("Title", ""),
        given.get("Body", ""),
    )


def _threads(posts: sqlite3.Connection) -> Iterator[list[_Post]]:
    """Each question with its answers, the highest score first, of equal ones the older; in the order of questions."""
    thread: list[_Post] = []
    for row in posts.execute("SELECT * FROM post ORDER BY thread, kind, score DESC, id"):
        post = _Post(*row)
        if thread and thread[0].thread != post.thread:
            yield thread
            thread = []
        thread.append(post)
    if thread:
        yield thread
