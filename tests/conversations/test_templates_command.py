"""`templates` lists every template that `--template` takes."""

import pytest

from camelid.app.cli import main
from conversations.tokens.template import TEMPLATES


def test_every_template_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conversations", "templates"]) == 0
    out = capsys.readouterr().out
    names = [line for line in out.splitlines() if not line.startswith(" ")]
    assert names == [*TEMPLATES, "tokenizer"]
    # Meta's llama/generation.py: B_INST, B_SYS and their ends.
    assert "'<s>[INST] <<SYS>>\\n(system)\\n<</SYS>>\\n\\n(user) [/INST] (assistant) </s>'" in out
    assert "special tokens: <|im_start|> <|im_end|>" in out
