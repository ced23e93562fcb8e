"""Rendered chat HTML back to the Markdown it was rendered from."""

import re
from functools import cache
from html.parser import HTMLParser
from typing import Any

# A value is rendered HTML where its first tag opens a block and its last tag closes one. Markdown that
# merely contains HTML (in a code fence, say) is left alone.
_OPENS = re.compile(r"\s*<(?:div|p|pre|ol|ul|table|blockquote|h[1-6])\b[^<>]*>", re.IGNORECASE)
_CLOSES = re.compile(r"(?:</(?:div|p|pre|ol|ul|table|blockquote|h[1-6])>|<hr\s*/?>)\s*\Z", re.IGNORECASE)
_PRE = re.compile(r"<pre\b.*?</pre\s*>", re.IGNORECASE | re.DOTALL)
_BUTTON = re.compile(r"<(button|svg)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
_HELD = re.compile(r"^(.*?)\x02(\d+)\x03[ \t]*$", re.MULTILINE)


def is_html(text: str) -> bool:
    """Whether a message is a rendered chat page's HTML."""
    return bool(_OPENS.match(text) and _CLOSES.search(text))


def to_markdown(html: str) -> str:
    """Convert one message.

    Code blocks keep their bytes, with the language of the page's `language-*` class or header line; the page's
    buttons ("Copy code") and icons are removed.
    """
    from html_to_markdown import convert

    held: list[str] = []

    def hold(match: re.Match[str]) -> str:
        held.append(_fence(match[0]))
        return f"<p>\x02{len(held) - 1}\x03</p>"

    markdown = convert(_BUTTON.sub("", _PRE.sub(hold, html)), _options()).content or ""
    return _HELD.sub(lambda match: _indent(held[int(match[2])], match[1]), markdown).strip()


@cache
def _options() -> Any:
    from html_to_markdown import ConversionOptions

    return ConversionOptions(extract_metadata=False, compact_tables=True)


def _indent(block: str, prefix: str) -> str:
    """Put a code block where its placeholder stood; `prefix` is a list's indentation or a quote's marker."""
    below = prefix if prefix.strip(" >") == "" else " " * len(prefix)
    return prefix + block.replace("\n", f"\n{below}") if below else prefix + block


def _fence(pre: str) -> str:
    """A `<pre>` element as a fenced code block."""
    reader = _PreReader()
    reader.feed(pre)
    reader.close()
    code = (reader.code if reader.has_code else reader.header).removeprefix("\n").removesuffix("\n")
    language = reader.language or (reader.header.strip() if reader.has_code else "")
    if not re.fullmatch(r"[\w+#.-]{1,20}", language):
        language = ""
    ticks = "`" * max([3, *(len(run) + 1 for run in re.findall(r"`{3,}", code))])
    return f"{ticks}{language}\n{code}\n{ticks}"


class _PreReader(HTMLParser):
    """Collects the code of a `<pre>`, its language, and the header text before the code."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.code = self.header = self.language = ""
        self.has_code = False
        self._in_code = self._in_button = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "code":
            self.has_code = self._in_code = True
            classes = (dict(attrs).get("class") or "").split()
            self.language = next((name[9:] for name in classes if name.startswith("language-")), "")
        elif tag == "button":
            self._in_button = True
        elif tag == "br" and self._in_code:
            self.code += "\n"

    def handle_endtag(self, tag: str) -> None:
        if tag == "code":
            self._in_code = False
        elif tag == "button":
            self._in_button = False

    def handle_data(self, data: str) -> None:
        if self._in_code:
            self.code += data
        elif not self._in_button:
            self.header += data
