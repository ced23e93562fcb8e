"""The chat page: a document, its style and its modules, which load nothing from anywhere else."""

from html import escape

from camelid.files.paths import find_packaged
from camelid.files.read import read_text

FOLDER = "finetune/serve/data"
STYLE = "chat.css"
MODULES = (
    "answer.js", "answer_view.js", "api.js", "chat_list.js", "clipboard.js", "composer.js", "dom.js", "drawing.js",
    "editing.js", "editor.js", "favourites.js", "growing.js", "long_blocks.js", "main.js", "pair_view.js", "session.js",
    "settings.js", "spoken.js", "store.js", "transfer.js", "turns.js", "user_view.js", "windows.js",
)  # fmt: skip
# The renderer is the one that the evaluation report uses; there it is part of a script, so it exports nothing itself.
RENDERER = "camelid/data/markdown.js"
EXPORTED = "\nexport { FENCE, ITEM, block, make, markdown };\n"

# Scripts and styles come from this server alone, and a string never becomes code or markup.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)


HEARS = "Only the server behind this page hears it."


class ChatPage:
    """The page's files and the headers that let it run its own modules and nothing else.

    Args:
        behind: the address of the server that answers, if it is another than the page's own.

    Attributes:
        html: the document.
        files: its style and modules, by name: what they hold, and of which type.
        headers: to be sent with each of them.
    """

    def __init__(self, behind: str | None = None) -> None:
        self.html = _read("chat.html")
        assert self.html.count(HEARS) == 1
        if behind is not None:
            self.html = self.html.replace(HEARS, f"{escape(behind)} answers, and hears it.")
        self.files = {name: (_read(name), "text/javascript") for name in MODULES}
        self.files[STYLE] = _read(STYLE), "text/css"
        self.files["markdown.js"] = read_text(find_packaged(RENDERER)) + EXPORTED, "text/javascript"
        self.headers = {
            "content-security-policy": POLICY,
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "cache-control": "no-cache",
        }


def _read(name: str) -> str:
    return read_text(find_packaged(f"{FOLDER}/{name}"))
