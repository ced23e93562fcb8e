"""The server's pages: HTML documents that load nothing from anywhere."""

import base64
import hashlib

from camelid.files.paths import find_packaged
from camelid.files.read import read_text

PLACE = "/* markdown.js */"  # where the renderer goes, the one that the evaluation report uses


class Page:
    """A page and the headers that let it run its own script and no other.

    Args:
        name: of its file.

    Attributes:
        html: the document.
        headers: to be sent with it.
    """

    def __init__(self, name: str) -> None:
        page = read_text(find_packaged(f"finetune/serve/data/{name}"))
        self.html = page.replace(PLACE, read_text(find_packaged("camelid/data/markdown.js")))
        script, style = (_between(self.html, f"<{tag}>", f"</{tag}>") for tag in ("script", "style"))
        policy = f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; "
        policy += "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        self.headers = {
            "content-security-policy": policy,
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "cache-control": "no-cache",
        }


def _between(text: str, before: str, after: str) -> str:
    return text.split(before, 1)[1].split(after, 1)[0]


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
