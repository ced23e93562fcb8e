"""The chat page over a server that says what a test tells it to."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.finetune.serve.talker import Talker, page_for


@pytest.fixture
def talker() -> Talker:
    return Talker()


@pytest.fixture
def page_address(talker: Talker, tmp_path: Path) -> Iterator[str]:
    with page_for(talker, tmp_path / "votes") as address:
        yield address


@pytest.fixture
def open_talk(open_page: Callable[..., Any], page_address: str) -> Callable[..., Any]:
    """Opens the chat page for the talker."""
    return partial(open_page, page_address, page_address)
