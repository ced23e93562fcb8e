"""MediaWiki's markup to plain text: links, templates, tables, tags and formatting out, from the innermost outwards.

What the engines leave (mwparserfromhell 0.7, wikitextparser 3.0: `thumb|`, `Category:`, `''`) is gone here, for the
namespaces of links are the wiki's own (`Site`); templates of running text are written out (`templates.py`).
"""

import html
import re
from dataclasses import dataclass, field

from camelid.files.ledger import Ledger
from corpus.wiki.site import CATEGORY, FILE, Site
from corpus.wiki.templates import TemplateArguments, expand_template

# What is shown as it is, whatever it looks like (MediaWiki: Help:Formatting, extension tags).
_VERBATIM = re.compile(
    r"<(nowiki|pre|source|syntaxhighlight|math|ce|chem)\b([^<>]*?)(?:/>|>(.*?)</\1\s*>)", re.DOTALL | re.IGNORECASE
)
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
# What is no text: references, pictures, lists of them.
_LEFT_OUT = (
    "ref references gallery timeline imagemap score graph templatestyles mapframe maplink inputbox hiero categorytree"
)
_APART = re.compile(
    rf"<({'|'.join(_LEFT_OUT.split())})\b(?:[^<>/]|/(?!>))*(?:/>|>.*?</\1\s*>)", re.DOTALL | re.IGNORECASE
)
_PARAMETER = re.compile(r"\{\{\{([^{}|]*)(?:\|([^{}]*))?\}\}\}")
_TEMPLATE = re.compile(r"\{\{((?:[^{}]|\{(?![{|])|(?<!\|)\}(?!\})|(?<=\|)\}(?!\}))*)\}\}")
_LINK = re.compile(r"\[\[((?:[^\[\]]|\[(?!\[)|\](?!\]))*)\]\]")
_WEB_LINK = re.compile(r"\[(?:(?:https?|ftps?|mailto|news|irc):|//)[^\s\]<>]*([^\]\n]*)\]", re.IGNORECASE)
_TABLE_EDGE = re.compile(r"^[ :*]*\{\||^[ ]*\|\}", re.MULTILINE)
_QUOTES = re.compile("'{2,}")
_BREAK = re.compile(r"<(?:br|p|/p|/div|/li|hr)\b[^<>]*>", re.IGNORECASE)
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_SWITCH = re.compile(r"__[A-Z]{3,}__")
_HEADING = re.compile(r"^(={1,6})[ \t]*(.*?)[ \t]*\1[ \t]*$")
_LIST = re.compile(r"^([*#:;]+)[ \t]*")
_LEFTOVERS = re.compile(r"\[\[|\]\]|\{\{|\}\}|^\{\||^\|\}", re.MULTILINE)
_SIZES = re.compile(r"\bthumb(?:nail)?\||\b\d+px\|")
_HOLES = re.compile(r"\(\s*[,;]?\s*\)|(?<=\()\s*[,;]\s+")
_BLANKS = re.compile(r"[ \t\xa0]+")
_DEPTH = 40  # of templates within templates; MediaWiki's own limit (Help:Templates, "expansion depth")
_HELD = re.compile("\ue000(\\d+)\ue001")  # of the private use area: not of any text


@dataclass
class WikiText:
    """Turns the markup of one wiki's pages into text.

    Attributes:
        site: the wiki.
        templates: counts those written out (kept) and those left out, by name.
        repaired: what else was left out, by kind; `repair` of the ledger of documents.
    """

    site: Site
    templates: Ledger = field(default_factory=lambda: Ledger("templates"))

    def to_text(self, page: str, title: str = "") -> str:
        """The text of a page: paragraphs and headings a line each, empty lines between them as they were."""
        held: list[str] = []
        text = _HELD.sub("", page.replace("\r\n", "\n"))
        text = _COMMENT.sub("", text) if "<!--" in text else text
        text = _VERBATIM.sub(lambda found: _hold(found, held), text)
        for _ in range(2):  # a reference in a gallery
            text = _APART.sub("", text)
        text = self._without_templates(text, title)
        text = _without_tables(text)
        for _ in range(_DEPTH):
            text, count = _LINK.subn(self._link, text)
            if not count:
                break
        text = _WEB_LINK.sub(lambda found: found[1].strip(), text)
        text = _BREAK.sub("\n", text)
        text = _TAG.sub("", text)
        text = "\n".join(map(_without_quotes, text.split("\n"))) if "''" in text else text
        text = _LEFTOVERS.sub("", _SWITCH.sub("", text))
        text = _SIZES.sub("", html.unescape(text))
        text = _arrange(text)
        return _HELD.sub(lambda found: held[int(found[1])], text).replace("''", '"')

    def _without_templates(self, text: str, title: str) -> str:
        if "{{" not in text:
            return text
        text = _PARAMETER.sub(lambda found: found[2] or "", text)
        for _ in range(_DEPTH):
            text, count = _TEMPLATE.subn(lambda found: self._template(found[1], title), text)
            if not count:
                break
        return text

    def _template(self, inside: str, title: str) -> str:
        name, *fields = _split_fields(inside)
        name = name.strip()
        if name in ("PAGENAME", "FULLPAGENAME", "SUBPAGENAME", "BASEPAGENAME"):
            return title
        arguments: TemplateArguments = {}
        count = 0
        for one in fields:
            key, equals, value = one.partition("=")
            if equals and "[[" not in key and "<" not in key:
                arguments[key.strip()] = value.strip()
            else:
                count += 1
                arguments[str(count)] = one
        text = expand_template(name, arguments)
        if text is None:
            self.templates.drop("left out: " + " ".join(name.split())[:60].partition(":")[0].lower())
            return ""
        self.templates.keep()
        return text

    def _link(self, found: re.Match[str]) -> str:
        target, bar, label = found[1].partition("|")
        if target.startswith(":"):
            return label or target[1:]
        if ":" in target:
            if self.site.namespace(target) in (FILE, CATEGORY):
                return ""
            if not bar and self.site.is_language(target):
                return ""
        if not bar:
            return target.strip()
        if not label.strip():  # the pipe trick
            return re.sub(r"^[^:]*:|\s*\([^()]*\)$|,.*$", "", target).strip()
        return label


def _hold(found: re.Match[str], held: list[str]) -> str:
    """A mark in the place of what must not be looked at; its content comes back at the end."""
    kind, content = found[1].lower(), found[3] or ""
    if kind in ("math", "ce", "chem"):
        content = content.strip().replace("{{", "{ {").replace("}}", "} }").replace("''", r"^{\prime\prime}")
        content = f"${content}$" if content else ""
    else:
        content = html.unescape(content)
    if not content:
        return ""
    held.append(content)
    return f"\ue000{len(held) - 1}\ue001"


def _split_fields(inside: str) -> list[str]:
    """A template's fields: bars inside of links are none of its."""
    if "[[" not in inside:
        return inside.split("|")
    fields, depth, last = [], 0, 0
    for found in re.finditer(r"\[\[|\]\]|\|", inside):
        if found[0] == "|":
            if depth <= 0:
                fields.append(inside[last : found.start()])
                last = found.end()
        else:
            depth += 1 if found[0] == "[[" else -1
    return [*fields, inside[last:]]


def _without_tables(text: str) -> str:
    """Tables out, with those inside of them; one that does not end takes nothing but its own first line."""
    if "{|" not in text:
        return text
    kept, depth, last = [], 0, 0
    for found in _TABLE_EDGE.finditer(text):
        if found[0].endswith("{|"):
            if depth == 0:
                kept.append(text[last : found.start()])
                last = found.start()
            depth += 1
        elif depth:
            depth -= 1
            if depth == 0:
                last = found.end()
    rest = text[last:]
    if depth:
        rest = "\n".join(line for line in rest.split("\n") if not line.lstrip().startswith(("{|", "|", "!")))
    return "".join(kept) + rest


def _without_quotes(line: str) -> str:
    """Bold and italics out; an apostrophe before italics (`l'''amour''`) stays, as MediaWiki's `doQuotes` reads it."""
    if "''" not in line:
        return line
    lengths = [len(run) for run in _QUOTES.findall(line)]
    odd = sum(length in (3, 4, 5) or length > 5 for length in lengths) % 2, sum(n == 2 or n >= 5 for n in lengths) % 2
    if odd == (1, 1):
        line = re.sub(r"(?<=\b\w)'''(?!')", "'", line, count=1)
    return _QUOTES.sub(lambda found: "'" if len(found[0]) == 4 else "", line)


def _arrange(text: str) -> str:
    """Lines without marks of lists and headings; no heading without text below it, no two empty lines in a row."""
    lines: list[str] = []
    waiting: list[tuple[int, str]] = []  # headings that nothing stands under yet
    for raw in text.split("\n"):
        line = _BLANKS.sub(" ", raw).strip()
        if not line or line.startswith("----"):
            if lines and lines[-1]:
                lines.append("")
            continue
        if line[0] == "=" and (heading := _HEADING.match(line)):
            level = len(heading[1])
            waiting = [one for one in waiting if one[0] < level]
            if heading[2]:
                waiting.append((level, heading[2]))
            continue
        if line[0] in "*#:;" and (marks := _LIST.match(line)):
            rest = line[marks.end() :].strip()
            if not rest:
                continue
            line = f"- {rest}" if marks[1][-1] in "*#" else rest
        if "(" in line:
            line = _BLANKS.sub(" ", _HOLES.sub("", line)).replace(" ,", ",").replace(" .", ".").strip()
        if not any(map(str.isalnum, line)) and "\ue000" not in line:
            continue
        for _, name in waiting:
            lines += ([""] if lines and lines[-1] else []) + [name, ""]
        waiting.clear()
        lines.append(line)
    return "\n".join(lines).strip("\n")
