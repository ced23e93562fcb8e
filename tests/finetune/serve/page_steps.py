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


def titles(page: Any) -> list[str]:
    """Of the list of chats."""
    return list(page.locator("#chat-list .open").all_inner_texts())
