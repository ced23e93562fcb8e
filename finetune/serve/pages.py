"""The server's pages, chat and leaderboard, with their styles and modules, which load nothing from anywhere else."""

from html import escape

from camelid.files.paths import find_packaged
from camelid.files.read import read_text

FOLDER = "finetune/serve/data"
STYLES = ("chat.css", "leaderboard.css", "theme.css")
MODULES = (
    "answer.js", "answer_view.js", "api.js", "chat_list.js", "clipboard.js", "composer.js", "dom.js", "drawing.js",
    "editing.js", "editor.js", "favourites.js", "growing.js", "leaderboard.js", "long_blocks.js", "main.js",
    "pair_view.js", "session.js", "settings.js", "spoken.js", "store.js", "transfer.js", "turns.js", "user_view.js",
    "windows.js",
)  # fmt: skip
# The renderer is the one that the evaluation report uses; there it is part of a script, so it exports nothing itself.
RENDERER = "camelid/data/markdown.js"
EXPORTED = "\nexport { FENCE, ITEM, block, make, markdown };\n"

# Scripts and styles come from this server alone, and a string never becomes code or markup.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
"""Sent with each document, style and module."""

HEARS = "Only the server behind this page hears it."


def chat_page(behind: str | None = None) -> str:
    """The chat page.

    Args:
        behind: the address of the server that answers, if it is another than the page's own.
    """
    html = _read("chat.html")
    assert html.count(HEARS) == 1
    return html if behind is None else html.replace(HEARS, f"{escape(behind)} answers, and hears it.")


def leaderboard_page() -> str:
    """The leaderboard."""
    return _read("leaderboard.html")


def page_files() -> dict[str, tuple[str, str]]:
    """What the pages load, by name: what each file holds, and of which type it is."""
    styles = {name: (_read(name), "text/css") for name in STYLES}
    modules = {name: (_read(name), "text/javascript") for name in MODULES}
    markdown = read_text(find_packaged(RENDERER)) + EXPORTED
    return {**styles, **modules, "markdown.js": (markdown, "text/javascript")}


def _read(name: str) -> str:
    return read_text(find_packaged(f"{FOLDER}/{name}"))
