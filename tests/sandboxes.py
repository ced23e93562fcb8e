"""Whether tests of programs can run here: they skip without a sandbox, but not where one is required, as in CI."""

import os

import pytest

from camelid.sandbox.execute import why_missing


def need_sandbox() -> None:
    """Skip the test, or fail it in CI, where programs cannot be run."""
    missing = why_missing()
    if missing and os.environ.get("CAMELID_SANDBOX_TESTS") == "required":
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)
