"""Rendered chat HTML back to the Markdown it was rendered from."""

import re
from functools import cache
from html import unescape
from typing import Any

# A value is rendered HTML where its first tag opens a block and its last tag closes one. Markdown that
# merely contains HTML (in a code fence, say) is left alone. Names are in small letters: a browser writes them so.
_OPENS = re.compile(r"\s*<(?:div|p|pre|ol|ul|table|blockquote|h[1-6])\b[^<>]*>")
_CLOSES = re.compile(r"(?:</(?:div|p|pre|ol|ul|table|blockquote|h[1-6])>|<hr\s*/?>)\Z")
_LONGEST_CLOSE = len("</blockquote>")

_ANY_TAG = re.compile(r"""<[^<>"']*(?:(?:"[^"]*"|'[^']*')[^<>"']*)*>""")
_BREAK = re.compile(r"<br\s*/?>")
_LANGUAGE_CLASS = re.compile(r"\blanguage-([^\s\"']+)")
_LANGUAGE = re.compile(r"[\w+#.-]{1,20}")
# The references a browser writes when it turns a page into HTML; with these alone, replacing beats `unescape`.
_COMMON = (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&#39;", "'"), ("&#x27;", "'"), ("&amp;", "&"))
_RARE = re.compile(r"&(?!(?:lt|gt|quot|#39|#x27|amp);)")
_BUTTON = re.compile(r"<(button|svg)\b.*?</\1\s*>", re.DOTALL)
_SPAN = re.compile(r"<(/?)span\b[^<>]*>")
_KATEX = re.compile(r"<span[^<>]*\bclass=[\"']?[^<>\"']*\bkatex(-display)?\b[^<>]*>")
_TEX = re.compile(r"<annotation\b[^<>]*application/x-tex[^<>]*>(.*?)</annotation\s*>", re.DOTALL)

# The library would join two quotes in a row to one.
_TWO_QUOTES = re.compile(r"</blockquote>\s*<blockquote")
_BETWEEN_QUOTES = re.compile(r"\n+([ >]*)\x02q\x03\n+")

# What stands for a piece that is held back while the rest is converted. These two characters have no place
# in HTML; those that a page contains nevertheless are taken out first.
_OPEN, _CLOSE = "\x02", "\x03"
_STRAY = str.maketrans("", "", _OPEN + _CLOSE)
_HELD = re.compile(r"\x02(\d+)\x03")


def is_html(text: str) -> bool:
    """Whether a message is a rendered chat page's HTML."""
    return bool(_OPENS.match(text) and _CLOSES.search(text.rstrip()[-_LONGEST_CLOSE:]))


def pages_to_markdown(pages: list[str]) -> list[str]:
    """Convert messages.

    Code blocks keep their bytes, with the language of the page's `language-*` class or header line. Formulas
    (KaTeX) become their TeX source between `$` or `$$`. The page's buttons ("Copy code") and icons are removed.
    """
    from html_to_markdown._html_to_markdown import convert  # its public wrapper rebuilds the options on every call

    # One step for all pages, then the next: the library runs half again as fast where it runs many times in a row.
    options = _options()
    held: list[list[str]] = [[] for _ in pages]
    prepared = [_hold(html, pieces) for html, pieces in zip(pages, held, strict=True)]
    converted = [convert(html, options).content or "" for html in prepared]
    return [_restore(markdown, pieces) for markdown, pieces in zip(converted, held, strict=True)]


def _hold(html: str, held: list[str]) -> str:
    """The page without buttons, and with a placeholder for what the library must not touch."""
    html = html.translate(_STRAY) if _OPEN in html or _CLOSE in html else html
    html = _hold_code(html, held)
    if "<button" in html or "<svg" in html:
        html = _BUTTON.sub("", html)
    if "katex" in html:
        html = _hold_formulas(html, held)
    if "</blockquote>" in html:
        html = _TWO_QUOTES.sub(f"</blockquote><p>{_OPEN}q{_CLOSE}</p><blockquote", html)
    return html


def _restore(markdown: str, held: list[str]) -> str:
    """Put back what was held."""
    if _OPEN in markdown:
        markdown = _BETWEEN_QUOTES.sub(lambda match: f"\n{match[1].rstrip()}\n", markdown)
        markdown = _HELD.sub(lambda match: _indented(held[int(match[1])], match), markdown)
    return markdown.strip()


@cache
def _options() -> Any:
    from html_to_markdown._html_to_markdown import ConversionOptions

    return ConversionOptions(extract_metadata=False, compact_tables=True, preserve_tags=["sub", "sup"])


def _indented(piece: str, place: re.Match[str]) -> str:
    """The lines of a held piece below its first, moved in by what stands before it: a list's or a quote's marker."""
    if "\n" not in piece:
        return piece
    before = place.string[place.string.rfind("\n", 0, place.start()) + 1 : place.start()]
    below = before if before.strip(" >") == "" else " " * len(before)
    return piece.replace("\n", f"\n{below}")


def _hold_code(html: str, held: list[str]) -> str:
    """Replace each `<pre>` element by a paragraph with a placeholder for its code block."""
    before, *elements = html.split("<pre")
    pieces = [before]
    for element in elements:
        inside, closed, behind = element.partition("</pre>")
        if not closed or element[:1] not in " >":
            pieces.append(f"<pre{element}")
            continue
        pieces.append(f"<p>{_OPEN}{len(held)}{_CLOSE}</p>{behind}")
        held.append(_fence(inside[inside.index(">") + 1 :]))
    return "".join(pieces)


def _fence(pre: str) -> str:
    """The inside of a `<pre>` element as a fenced code block."""
    start, end = pre.find("<code"), pre.rfind("</code>")
    if 0 <= start < end:
        attributes, _, code = pre[start:end].partition(">")
        named = _LANGUAGE_CLASS.search(attributes)
        language = named[1] if named else _text(_BUTTON.sub("", pre[:start])).strip()
    else:
        code, language = pre.removeprefix("\n"), ""  # as HTML has it: the first line break in a <pre> does not count
    code = _text(_BREAK.sub("\n", code) if "<br" in code else code).removesuffix("\n")
    if not _LANGUAGE.fullmatch(language):
        language = ""
    fence = "```"
    while fence in code:
        fence += "`"
    return f"{fence}{language}\n{code}\n{fence}"


def _text(html: str) -> str:
    """The text of a piece of HTML: tags taken out, character references resolved."""
    text = _ANY_TAG.sub("", html) if "<" in html else html
    if "&" not in text:
        return text
    if _RARE.search(text):
        return unescape(text)
    for reference, character in _COMMON:
        text = text.replace(reference, character)
    return text


def _hold_formulas(html: str, held: list[str]) -> str:
    """Replace each KaTeX element, which holds every formula three times, by a placeholder for its source."""
    pieces, at = [], 0
    while opening := _KATEX.search(html, at):
        end = _end_of_span(html, opening.start())
        source = _TEX.search(html, opening.end(), end)
        pieces.append(html[at : opening.start()])
        if source is None:
            pieces.append(html[opening.start() : end])
        else:
            display = opening[1] or 'display="block"' in html[opening.start() : source.start()]
            tex = _text(source[1]).strip()
            held.append(f"$$\n{tex}\n$$" if display else f"${tex}$")
            place = f"{_OPEN}{len(held) - 1}{_CLOSE}"
            pieces.append(f"<p>{place}</p>" if display else place)
        at = end
    return "".join([*pieces, html[at:]])


def _end_of_span(html: str, start: int) -> int:
    """Where the `<span>` that opens at `start` closes."""
    depth = 0
    for tag in _SPAN.finditer(html, start):
        depth += -1 if tag[1] else 1
        if depth == 0:
            return tag.end()
    return len(html)
