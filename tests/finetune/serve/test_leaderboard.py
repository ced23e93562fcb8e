"""The leaderboard page in a real browser; needs Chromium."""

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from finetune.serve.access import Access
from finetune.serve.served import ServedModel
from tests.eval.numbers.test_arena import vote
from tests.finetune.serve.serving import serving

pytestmark = pytest.mark.slow


def fill(folder: Path) -> None:
    vote(folder, "llama-2-7b-chat-tuned-on-my-own-conversations", "base <b>", "A", 30)
    vote(folder, "base <b>", "llama-2-7b-chat-tuned-on-my-own-conversations", "A", 10)
    vote(folder, "base <b>", "third", "C", 7)
    vote(folder, "third", "base <b>", "A", 12)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_it_shows_ratings(
    open_page: Callable[..., Any], served: ServedModel, tmp_path: Path, scheme: str, width: int
) -> None:
    fill(tmp_path)
    with serving([served], tmp_path) as server:
        size = {"width": width, "height": 800}
        options = {"viewport": size, "color_scheme": scheme, "bypass_csp": True}
        page = open_page(server.address + "/leaderboard", server.address, **options)
        rows = page.locator("#rows tr")
        assert rows.count() == 3 and page.locator("#state").inner_text() == "59 votes"
        assert [cell.inner_text() for cell in rows.locator("th").all()] == [
            "third",
            "llama-2-7b-chat-tuned-on-my-own-conversations",
            "base <b>",
        ]
        assert page.locator("#rows b").first.bounding_box()["x"] > page.locator("#rows b").last.bounding_box()["x"]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8"))
        found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
        assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []
        vote(tmp_path, "third", "llama-2-7b-chat-tuned-on-my-own-conversations", "A")
        page.click("#refresh")
        page.wait_for_function("document.getElementById('state').textContent === '60 votes'")


def test_it_asks_for_a_key(browser: Any, served: ServedModel, tmp_path: Path) -> None:
    fill(tmp_path)
    with serving([served], tmp_path, access=Access(keys=("secret",))) as server, browser.new_context() as context:
        page = context.new_page()
        page.goto(server.address + "/leaderboard")
        page.wait_for_selector("html[data-ready]", state="attached")
        assert page.evaluate("document.activeElement.id") == "key" and page.locator("#rows tr").count() == 0
        page.fill("#key", "secret")
        page.keyboard.press("Enter")
        page.wait_for_selector("#rows tr")
        assert page.locator("#ask").is_hidden()
