"""Tests of what needs a sandbox ask for the fixture `sandbox`."""

import pytest

from tests.sandboxes import need_sandbox


@pytest.fixture
def sandbox() -> None:
    """The default sandbox works here."""
    need_sandbox()
