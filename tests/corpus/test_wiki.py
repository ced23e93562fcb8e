"""MediaWiki's markup to text, pages of dumps, and Wikipedia's own articles."""

import bz2
import re
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from corpus.wiki.markup import WikiText
from corpus.wiki.site import Site
from tests.corpus.conftest import CorpusCommand, ledger, records, texts

GERMAN = Site({"": 0, "datei": 6, "kategorie": 14, "hilfe": 12})


def dump(*pages: str, namespaces: str = "") -> str:
    return (
        '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/" version="0.10" xml:lang="de">\n'
        f"<siteinfo><sitename>Own</sitename><namespaces>{namespaces}</namespaces></siteinfo>\n{''.join(pages)}</mediawiki>"
    )


def page(title: str, text: str, number: int = 0, more: str = "", revision: str = "") -> str:
    return (
        f"<page><title>{escape(title)}</title><ns>{number}</ns><id>7</id>{more}<revision><id>1</id>"
        f"<timestamp>2022-06-01T00:00:00Z</timestamp>{revision}<text>{escape(text)}</text></revision></page>\n"
    )


@pytest.mark.parametrize(
    ("markup", "wanted"),
    [
        ("'''Bold''' and ''italic'' and '''''both'''''", "Bold and italic and both"),
        ("[[Bus]]es, [[Bus|coach]], [[Bus (car)|]], [[:Kategorie:X|see]]", "Buses, coach, Bus, see"),
        ("a [[Datei:X.jpg|thumb|200px|A [[b|c]] ''d'']] e", "a e"),
        ("a [[Image:X.jpg|mini]] [[Category:Y]][[Kategorie:Z]]\n[[fr:Autre]] b", "a\nb"),
        ("x<ref name=\"a\">no [[b]]</ref> y<ref name=b /> z<REF>no</REF>", "x y z"),
        ("a <!-- no\n --> b", "a b"),
        ("At {{convert|1300|mi}}, it has {{cvt|5|to|10|km2}}.", "At 1300 miles, it has 5 to 10 square kilometres."),
        ("a {{convert|1|ft|6|in|m}} man, a {{convert|10|ft|adj=on}} wall", "a 1 foot 6 inches man, a 10-foot wall"),
        ("{{lang|de|Haus}} ({{lang-fr|maison}}) {{nowrap|a b}}{{snd}}c", "Haus (French: maison) a b \u2013 c"),
        ("{{Infobox|a={{b|c}}|d=[[e|f]]}}Text", "Text"),
        ("* {{cite book|last=Moon|first=A.|year=1900|title=[[X|Tides]]|work=Sea}}", "- Moon, A. (1900). Tides. Sea"),
        ("<ref>{{cite web|title=Gone}}</ref>x{{mdashb}}y {{frac|1|2}} {{US$|5}}", "x\u2014y 1/2 US$5"),
        ("{{unknown|x}} text {{main|y}}", "text"),
        ("a {{{1|default}}} b", "a default b"),
        ("{| class=x\n|-\n| a || {{b}}\n{|\n| c\n|}\n|}\nafter", "after"),
        ("before\n{| class=x\n| never closed\n\nafter", "before\n\nafter"),
        ("== A ==\ntext\n== Empty ==\n=== Also ===\n== B ==\nmore", "A\n\ntext\n\nB\n\nmore"),
        ("* one\n** two\n# three\n: four\n; five\n*\n----\nsix", "- one\n- two\n- three\nfour\nfive\n\nsix"),
        ("[http://x.org words] [http://x.org] http://x.org", "words http://x.org"),
        ("<nowiki>[[no]] ''x''</nowiki> <b>y</b> a &lt; b&nbsp;c", '[[no]] "x" y a < b c'),
        ("<math>x^{{2}} + f''(x)</math>", "$x^{ {2} } + f^{\\prime\\prime}(x)$"),
        ("<source lang=c>a[[0]] = {{1}};</source>", "a[[0]] = {{1}};"),
        ("l'''arbre'' vert", "l'arbre vert"),
        ("a ({{unknown}}) b ({{unknown}}; c)", "a b (c)"),
        ("__NOTOC__\na<br />b", "a\nb"),
        ("broken [[link and {{template", "broken link and template"),
        ("{{PAGENAME}} is", "Title is"),
        ("<gallery>\nFile:A.jpg|b\n</gallery>c<references />", "c"),
        ("{{quote|Said [[x|so]]|Me}}", "Said so\n— Me"),
    ],
)  # fmt: skip
def test_markup(markup: str, wanted: str) -> None:
    assert WikiText(GERMAN).to_text(markup, "Title") == wanted


def test_templates_are_counted() -> None:
    wikitext = WikiText(GERMAN)
    wikitext.to_text("{{convert|1|m}} {{Unknown|a}} {{unknown}} {{#if:x|y}}")
    assert wikitext.templates.kept == 1 and wikitext.templates.dropped == {"left out: unknown": 2, "left out: #if": 1}


def test_pages_of_a_dump(tmp_path: Path, corpus: CorpusCommand) -> None:
    content = dump(
        page("Haus", "Ein '''Haus'''.[[Kategorie:Bau]]"),
        page("Heim", "#WEITERLEITUNG [[Haus]]", more='<redirect title="Haus" />'),
        page("Heim 2", "#REDIRECT [[Haus]]"),
        page("Hilfe:X", "Hilfe", 12),
        page("Haus.css", "a {}", revision="<model>css</model>"),
        page("Leer", "{{x}}"),
        namespaces='<namespace key="14">Kategorie</namespace>',
    )
    (tmp_path / "wiki-pages-articles1.xml-p1p9.bz2").write_bytes(bz2.compress(content.encode()))
    corpus("read", "wikipedia", tmp_path, "--output", tmp_path / "out", "--quiet")
    assert texts(tmp_path / "out") == ["Haus\n\nEin Haus."]
    assert records(tmp_path / "out")[0]["meta"]["title"] == "Haus"
    assert ledger(tmp_path / "out").dropped == {
        "redirect": 2, "namespace 12": 1, "content model css": 1, "no text in it": 1,
    }  # fmt: skip
    corpus("read", "wikipedia", tmp_path, "--output", tmp_path / "two", "--set", "namespaces=[0, 12]", "--quiet")
    assert texts(tmp_path / "two") == ["Haus\n\nEin Haus.", "Hilfe:X\n\nHilfe"]


def test_a_dump_that_breaks_off(tmp_path: Path, corpus: CorpusCommand) -> None:
    content = dump(page("A", "one"), page("B", "two"))
    (tmp_path / "x.xml").write_text(content[: content.index("two")])
    corpus("read", "wikipedia", tmp_path / "x.xml", "--output", tmp_path / "out", "--quiet")
    assert texts(tmp_path / "out") == ["A\n\none"]
    assert ledger(tmp_path / "out").dropped == {"the file breaks off in it": 1}


def test_a_dump_in_utf_16(tmp_path: Path, corpus: CorpusCommand) -> None:
    (tmp_path / "x.xml").write_bytes(
        f'<?xml version="1.0" encoding="UTF-16"?>{dump(page("Къща", "жълт"))}'.encode("utf-16")
    )
    corpus("read", "wikipedia", tmp_path / "x.xml", "--output", tmp_path / "out", "--quiet")
    assert texts(tmp_path / "out") == ["Къща\n\nжълт"]


RESIDUE = re.compile(r"thumb\||\d+px|Category:|\[\[|\]\]|\{\{|\}\}|''|<ref")


@pytest.mark.slow
def test_real_articles_leave_nothing(gensim_wikis: Path, tmp_path: Path, corpus: CorpusCommand) -> None:
    """What the dump says it has: 205 pages of namespace 0 and one of namespace 4, 100 redirects (one in that)."""
    corpus("read", "wikipedia", *sorted(gensim_wikis.glob("enwiki-latest*")), "--output", tmp_path / "en", "--quiet")
    documents = ledger(tmp_path / "en")
    assert (documents.read, documents.kept) == (206, 106)
    assert documents.dropped == {"redirect": 99, "namespace 4": 1}
    articles = texts(tmp_path / "en")
    assert sum(map(len, articles)) > 2_500_000
    assert [RESIDUE.findall(text) for text in articles] == [[]] * 106
    [alabama] = [text for text in articles if text.startswith("Alabama\n")]
    assert "At 1300 miles, Alabama has one of the longest navigable inland waterways" in alabama


@pytest.mark.slow
def test_real_wiki_in_utf_16(gensim_wikis: Path, tmp_path: Path, corpus: CorpusCommand) -> None:
    corpus("read", "wikipedia", *sorted(gensim_wikis.glob("bgwiki*")), "--output", tmp_path / "bg", "--quiet")
    assert ledger(tmp_path / "bg").read == 3 and [t[:22] for t in texts(tmp_path / "bg")] == ["Григориански календар\n"]
