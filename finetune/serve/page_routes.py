"""The routes of the server's pages, for everybody: the chat page, the leaderboard, and what they load."""

from collections.abc import Awaitable, Callable

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response

from finetune.serve.errors import ApiError
from finetune.serve.pages import HEADERS, chat_page, leaderboard_page, page_files

LOOK = ["GET", "HEAD"]


def add_page_routes(app: FastAPI, behind: str | None = None) -> None:
    """Add them.

    Args:
        app: the application.
        behind: the address of the server that answers, if it is another one.
    """
    app.add_api_route("/", _show(chat_page(behind)), methods=LOOK)
    app.add_api_route("/leaderboard", _show(leaderboard_page()), methods=LOOK)
    files = page_files()

    @app.api_route("/page/{name}", methods=LOOK)
    async def page_file(name: str) -> Response:
        if name not in files:
            raise ApiError(404, f"the pages have no file {name[:100]!r}")
        text, kind = files[name]
        return Response(text, media_type=kind, headers=HEADERS)


def _show(html: str) -> Callable[[], Awaitable[Response]]:
    async def page() -> Response:
        return HTMLResponse(html, headers=HEADERS)

    return page
