"""1 for an answer whose code passes its tests, 0 for any other, and an error where nothing can be said."""

from pathlib import Path

import pytest

from camelid.errors import UserError
from camelid.sandbox.execute import why_missing
from camelid.sandbox.reward import passing_reward


@pytest.mark.parametrize(
    ("answer", "reward"),
    [
        ("So:\n```python\ndef f(x):\n    return x + 1\n```", 1.0),
        ("def f(x):\n    return x + 1", 1.0),
        ("```python\ndef f(x):\n    return x\n```", 0.0),
        ("I cannot do that.", 0.0),
        ("import os\nos._exit(0)", 0.0),
        ("", 0.0),
    ],
)
def test_reward(answer: str, reward: float, sandbox: None) -> None:
    assert passing_reward(answer, "assert f(1) == 2") == reward


def test_nobody_is_blamed_for_a_missing_sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    why_missing.cache_clear()
    try:
        with pytest.raises(UserError, match="--sandbox none"):
            passing_reward("x = 1", "assert x == 1")
    finally:
        why_missing.cache_clear()
