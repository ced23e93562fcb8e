"""The pages' templates, and the one way in which they are filled: everything that isn't ours is escaped."""

from importlib.resources import files

from camelid.page import fill_template


def render_template(name: str, **values: object) -> str:
    """Fill a template of `eval/data` into a page that needs nothing else.

    Args:
        name: its file; it gets `style`, the pages' style sheet, and `style_hash`.
        values: what else it names; a name that is missing is an error.
    """
    return fill_template(name, data_file, data_file("report.css"), **values)


def data_file(name: str) -> str:
    """The text of a file of `eval/data`."""
    return files("eval").joinpath("data", name).read_text(encoding="utf-8")
