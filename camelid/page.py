"""Pages of one file that need nothing else: no network, no server, no other file.

Texts lie in them as gzipped JSON in base64, which can hold no markup whatever a model wrote; `data/packed.js` unpacks
it. A page's Content-Security-Policy allows its own script and style by their hashes and nothing else.
"""

import base64
import gzip
import hashlib
import json
from collections.abc import Callable

from camelid.files.paths import find_packaged
from camelid.files.read import read_text

BROWSING = ("markdown", "packed", "browsing")  # scripts of a page with a list and one entry opened from it
LEVEL = 4  # of gzip: a tenth larger than the usual 6, in a fifth of the time


def pack_value(value: object) -> str:
    """JSON, gzipped (the same bytes each time), in base64."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode("utf-8", "replace"), LEVEL, mtime=0)).decode("ascii")


def browsing_script(*own: str) -> str:
    """The script of a page with a list that is searched and one entry opened from it.

    Args:
        own: the page's scripts, which come after what all such pages share.
    """
    return "\n".join((*(read_text(find_packaged(f"camelid/data/{name}.js")) for name in BROWSING), *own))


def content_hash(text: str) -> str:
    """The source expression that lets a Content-Security-Policy pass exactly this text."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def fill_template(name: str, load: Callable[[str], str], style: str, **values: object) -> str:
    """Fill a template into a page; everything that isn't ours is escaped.

    Args:
        name: the template's file.
        load: from the name of a file, the template's or one it includes, to its text.
        style: the style sheet; the template gets it with its `style_hash`.
        values: what else it names; a name that is missing is an error.
    """
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(load),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(name).render(style=Markup(style), style_hash=content_hash(style), **values)
