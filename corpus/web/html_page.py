"""HTTP responses to text: the body out of its encodings, the main content out of the HTML (extra `corpus`)."""

import gzip
import zlib
from dataclasses import dataclass
from typing import Any

from camelid.errors import UserError

HTML = ("text/html", "application/xhtml+xml")


@dataclass(frozen=True)
class ServerResponse:
    """What a server sent.

    Attributes:
        status: 200 and the like; 0 where none could be read.
        kind: the media type, small letters, without parameters.
        charset: as the server says; empty if it does not.
        body: out of `Transfer-Encoding: chunked` and `Content-Encoding`.
    """

    status: int
    kind: str
    charset: str
    body: bytes


def read_response(raw: bytes) -> ServerResponse:
    """An HTTP response as WARC files keep it, chunked or compressed or said to be so and not."""
    head, _, body = raw.partition(b"\r\n\r\n")
    if b"\n\n" in head or not body:
        head, _, body = raw.partition(b"\n\n")
    first, *lines = head.decode("latin-1").splitlines() or [""]
    words = first.split()
    status = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        fields.setdefault(name.strip().lower(), value.strip())
    if "chunked" in fields.get("transfer-encoding", "").lower():
        body = _from_chunks(body)
    body = _decompress(body, fields.get("content-encoding", "").lower())
    kind, _, parameters = fields.get("content-type", "").partition(";")
    charset = parameters.lower().partition("charset=")[2].strip(" \"'").split(";")[0]
    return ServerResponse(status, kind.strip().lower(), charset, body)


def _from_chunks(body: bytes) -> bytes:
    """The chunks joined; a body that has none, whatever its header says, is as it is."""
    parts: list[bytes] = []
    at = 0
    while at < len(body):
        end = body.find(b"\n", at)
        size = body[at:end].split(b";")[0].strip() if end >= 0 else b""
        try:
            length = int(size, 16)
        except ValueError:
            return b"".join(parts) if parts else body
        if length == 0:
            break
        parts.append(body[end + 1 : end + 1 + length])
        at = end + 1 + length
        at += 2 if body[at : at + 2] == b"\r\n" else 1
    return b"".join(parts)


def _decompress(body: bytes, encoding: str) -> bytes:
    try:
        if "gzip" in encoding and body.startswith(b"\x1f\x8b"):
            return gzip.decompress(body)
        if "deflate" in encoding:
            return zlib.decompress(body, -zlib.MAX_WBITS if body[:1] != b"\x78" else zlib.MAX_WBITS)
    except (EOFError, OSError, zlib.error):
        return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(body) if body.startswith(b"\x1f\x8b") else body
    return body


def html_to_text(body: bytes, charset: str) -> tuple[str, str]:
    """The title and the main content of a page, a line a paragraph.

    Raises:
        UserError: resiliparse is not installed.
    """
    try:
        from resiliparse.extract.html2text import extract_plain_text
        from resiliparse.parse.encoding import bytes_to_str, detect_encoding
        from resiliparse.parse.html import HTMLTree
    except ImportError:
        raise UserError("HTML in WARC files needs resiliparse; pip install 'camelid[corpus]'") from None
    page: Any = HTMLTree.parse(bytes_to_str(body, charset or detect_encoding(body) or "utf-8", errors="replace"))
    text = extract_plain_text(page, main_content=True, alt_texts=False, links=False, preserve_formatting=True)
    return (page.title or "").strip(), text.strip()
