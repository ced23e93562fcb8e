"""What a person does on the chat page, as steps of a test."""

from typing import Any


def send(page: Any, text: str) -> None:
    """Ask, without waiting for the answer."""
    page.fill("#text", text)
    page.press("#text", "Enter")


def say(page: Any, text: str) -> None:
    """Ask, and wait for the whole answer."""
    send(page, text)
    page.wait_for_selector("#send:visible")


def set_up(page: Any, **values: str) -> None:
    """Fill in the settings."""
    page.click("#settings")
    for name, value in values.items():
        page.fill(f"#{name}", value)
    page.click("#done")


def last_answer(page: Any) -> str:
    return str(page.locator(".turn.assistant .text").last.inner_text())


def wait_for_text(page: Any, words: str, selector: str = ".turn.assistant") -> None:
    page.wait_for_function(
        "([where, words]) => [...document.querySelectorAll(where)].some((one) => one.textContent.includes(words))",
        arg=[selector, words],
    )


def reload(page: Any) -> None:
    """Load the page again, once what was said is kept: the browser does so behind the page, in milliseconds."""
    page.wait_for_function(
        "async () => { const { isKept, session } = await import('./page/session.js'); return isKept(session.chat); }"
    )
    page.reload()
    page.wait_for_selector("html[data-ready]", state="attached")


def titles(page: Any) -> list[str]:
    """Of the list of chats."""
    return list(page.locator("#chat-list .open").all_inner_texts())
