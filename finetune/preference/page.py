"""Pages of what was learned from preferences, each one file: a template of `data` in the one style of them all."""

from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from camelid.files.read import read_text
from camelid.files.write import atomic_write

DATA = Path(__file__).parent / "data"


def write_page(path: Path, template: str, **facts: Any) -> None:
    """Write a page.

    Args:
        path: where it goes.
        template: name of a file in `data`.
        facts: what the template shows.
    """
    style = Markup(read_text(DATA / "page.css"))  # ours, so nothing in it is to be escaped
    page = Environment(autoescape=True).from_string(read_text(DATA / template)).render(style=style, **facts)
    with atomic_write(path) as out:
        out.write(page)
