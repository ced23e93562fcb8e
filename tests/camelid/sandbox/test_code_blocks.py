"""The code in an answer is found whatever is around it."""

import pytest

from camelid.sandbox.code_blocks import code_blocks, find_code

PYTHON = ("python", "py")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("```python\nx = 1\n```", "x = 1\n"),
        ("Here:\n\n```\nx = 1\n```\nDone.", "x = 1\n"),
        ("~~~py\nx = 1\n~~~", "x = 1\n"),
        ("1. So:\n   ```python\n   def f():\n       pass\n   ```", "def f():\n    pass\n"),
        ("> ```python\n> x = 1\n> ```", "x = 1\n"),
        ("```Python title=a\nx = 1\n```", "x = 1\n"),
        ("```python\nx = 1", "x = 1"),  # cut off
        ("````python\ns = '''\n```\n'''\n````", "s = '''\n```\n'''\n"),
        ("```sh\npip install x\n```\n```python\nx = 1\n```", "x = 1\n"),
        ("```\nf(1)\n```\n```python\nx = 1\n```", "x = 1\n"),
        ("```python\nf(1)\n```\n```python\ndef f(x):\n    return x\n```", "def f(x):\n    return x\n"),
        ("```js\nx\n```", "x\n"),  # better than nothing
        ("x = 1", None),
        ("    x = 1", None),
        ("Use `x = 1`.", None),
        ("", None),
    ],
)
def test_code_is_found(text: str, code: str | None) -> None:
    found = find_code(text, PYTHON, "def f")
    assert (found and found.rstrip("\n")) == (code and code.rstrip("\n"))


def test_blocks_come_in_order_with_their_labels() -> None:
    found = code_blocks("```JS\na\n```\n\n```\nb\n```\n")
    assert [(block.label, block.code) for block in found] == [("js", "a\n"), ("", "b\n")]
