"""The pages' templates, and the one way in which they are filled: everything that isn't ours is escaped."""

import base64
import hashlib
from importlib.resources import files


def render_template(name: str, **values: object) -> str:
    """Fill a template of `eval/data` into a page that needs nothing else.

    Args:
        name: its file; it gets `style`, the pages' style sheet, and `style_hash`.
        values: what else it names; a name that is missing is an error.
    """
    import jinja2
    from markupsafe import Markup

    style = data_file("report.css")
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(data_file),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(name).render(style=Markup(style), style_hash=content_hash(style), **values)


def data_file(name: str) -> str:
    """The text of a file of `eval/data`."""
    return files("eval").joinpath("data", name).read_text(encoding="utf-8")


def content_hash(text: str) -> str:
    """The source expression that lets a Content-Security-Policy pass exactly this text."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
