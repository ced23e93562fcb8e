"""`wikipedia`: the articles of a MediaWiki dump (`pages-articles.xml`), of any wiki in any language."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any
from xml.etree.ElementTree import Element, ParseError, XMLPullParser

from camelid.files.read import open_binary
from corpus.reader import RawPart, ReadCounts, find_named, one_part_a_file
from corpus.record import TextRecord, mended
from corpus.wiki.markup import WikiText
from corpus.wiki.site import ARTICLES, Site

# Wikipedia's are in pieces: enwiki-20220601-pages-articles1.xml-p1p41242.bz2.
_NAME = re.compile(r".*\.xml(?:-p\d+p\d+[-\w]*)?(?:\.(?:bz2|gz|xz|zst))?")
_BLOCK = 1 << 16  # bytes read at a time
_NAMED = 200  # templates that the ledger has by name; the rest are one number


@dataclass(frozen=True)
class WikiDump:
    """The settings.

    Attributes:
        namespaces: numbers of those whose pages are articles: 0 in every wiki; a company's may want 4 or 12, too.
        min_characters: a page whose text is shorter is dropped.
    """

    namespaces: tuple[int, ...] = (ARTICLES,)
    min_characters: int = 1

    def parts(self, inputs: Sequence[Path]) -> list[RawPart]:
        return one_part_a_file(
            find_named(inputs, _NAME, "dump of a wiki (expected names like x-pages-articles.xml.bz2)")
        )

    def read(self, part: RawPart, source: str, counts: ReadCounts) -> Iterator[TextRecord]:
        for path in part.paths:
            with open_binary(path) as file:
                yield from self._articles(file, source, counts)
        _shorten(counts)

    def _articles(self, file: IO[bytes], source: str, counts: ReadCounts) -> Iterator[TextRecord]:
        wikitext = WikiText(Site(), counts.of("templates"))
        for element in _elements(file, counts):
            if element.tag == "siteinfo":
                wikitext.site = _site(element)
                continue
            page = _WikiPage.of(element)
            reason = self._reason_to_drop(page, wikitext.site)
            text = "" if reason else mended(wikitext.to_text(page.markup, page.title))
            if not reason and len(text) < self.min_characters:
                reason = "no text in it" if not text else f"fewer than {self.min_characters} characters"
            if reason:
                counts.documents.drop(reason, example=page.title)
                continue
            meta = {"title": page.title, "id": page.id, "date": page.date}
            yield TextRecord(f"{page.title}\n\n{text}", source, {name: value for name, value in meta.items() if value})

    def _reason_to_drop(self, page: "_WikiPage", site: Site) -> str | None:
        number = page.namespace if page.namespace is not None else site.namespace(page.title) or ARTICLES
        if number not in self.namespaces:
            return f"namespace {number}"
        if page.redirects or page.markup.lstrip()[:9].lower() == "#redirect":
            return "redirect"
        if page.model not in ("", "wikitext"):
            return f"content model {page.model}"
        return None


@dataclass(frozen=True)
class _WikiPage:
    """What a `<page>` says; the last of its revisions counts."""

    title: str = ""
    id: str = ""
    namespace: int | None = None
    redirects: bool = False
    date: str = ""
    model: str = ""
    markup: str = ""

    @staticmethod
    def of(element: Element) -> "_WikiPage":
        page = _WikiPage()
        for child in element:
            text = child.text or ""
            if child.tag == "title":
                page = replace(page, title=text)
            elif child.tag == "id":
                page = replace(page, id=text)
            elif child.tag == "ns" and text.strip().lstrip("-").isdigit():
                page = replace(page, namespace=int(text))
            elif child.tag == "redirect":
                page = replace(page, redirects=True)
            elif child.tag == "revision":
                inside = {one.tag: one.text or "" for one in child}
                page = replace(
                    page, date=inside.get("timestamp", ""), model=inside.get("model", ""), markup=inside.get("text", "")
                )
        return page


def _elements(file: IO[bytes], counts: ReadCounts) -> Iterator[Element]:
    """The `siteinfo` and each `page` of a dump, while it is read; tags without the version's namespace.

    A dump that breaks off, or that is no XML from some point on, ends there: the page it ends in is counted.
    """
    parser: Any = XMLPullParser(("start", "end"))
    root: Element | None = None
    inside = False
    while True:
        block = file.read(_BLOCK)
        try:
            parser.feed(block) if block else parser.close()
        except ParseError as error:
            counts.documents.drop("the file breaks off in it", int(inside), example=str(error))
            counts.documents.note("file that breaks off")
            block = b""
        for event, element in parser.read_events():
            element.tag = element.tag.rpartition("}")[2]
            if event == "start":
                root = element if root is None else root
                inside = inside or element.tag == "page"
            elif element.tag in ("page", "siteinfo"):
                yield element
                inside = False
                if root is not None:
                    root.clear()
        if not block:
            return


def _site(element: Element) -> Site:
    names: dict[str, int] = {}
    for one in element.iter():
        one.tag = one.tag.rpartition("}")[2]
        if one.tag == "namespace" and one.text:
            names[one.text.strip().lower()] = int(one.get("key", "0"))
    return Site(names)


def _shorten(counts: ReadCounts) -> None:
    """Wikis have hundreds of thousands of templates: those that are rare become one number."""
    dropped = counts.of("templates").dropped
    for name, count in dropped.most_common()[_NAMED:]:
        del dropped[name]
        dropped["left out: others"] += count
