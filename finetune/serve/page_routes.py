"""The server's pages, for everybody: the chat page and the leaderboard."""

from collections.abc import Awaitable, Callable

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response

from finetune.serve.chat_page import ChatPage
from finetune.serve.errors import ApiError
from finetune.serve.page import Page

LOOK = ["GET", "HEAD"]


def add_page_routes(app: FastAPI, behind: str | None = None) -> None:
    """Add them.

    Args:
        app: the application.
        behind: the address of the server that answers, if it is another one.
    """
    chat = ChatPage(behind)
    app.add_api_route("/", _show(chat.html, chat.headers), methods=LOOK)
    leaderboard = Page("leaderboard.html")
    app.add_api_route("/leaderboard", _show(leaderboard.html, leaderboard.headers), methods=LOOK)

    @app.api_route("/page/{name}", methods=LOOK)
    async def page_file(name: str) -> Response:
        if name not in chat.files:
            raise ApiError(404, f"the chat page has no file {name[:100]!r}")
        text, kind = chat.files[name]
        return Response(text, media_type=kind, headers=chat.headers)


def _show(html: str, headers: dict[str, str]) -> Callable[[], Awaitable[Response]]:
    async def page() -> Response:
        return HTMLResponse(html, headers=headers)

    return page
