"""Phrases from presets and files, in any case and spacing."""

from pathlib import Path

import pytest

from camelid.errors import UserError
from camelid.files.ledger import Ledger
from camelid.message import Conversation, Message
from conversations.cleaning.blocked import BlockPhrases, read_phrases


def talk(question: str, answer: str = "yes", name: str = "c") -> Conversation:
    return Conversation(name, (Message("user", question), Message("assistant", answer)))


def test_blocked_phrases(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("# mine\nAs an AI  language model\n\n")
    phrases = read_phrases([str(tmp_path / "list.txt"), "fastchat"])
    assert phrases == ("as an ai language model", "openai", "chatgpt")
    block, turns = BlockPhrases(phrases), Ledger("turns")
    assert block(talk("hi", "As an AI language model, no"), turns) == "blocked phrase: as an ai language model"
    assert block(talk("Are you ChatGPT?"), turns) == "blocked phrase: chatgpt"
    assert isinstance(block(talk("hi"), turns), Conversation)
    with pytest.raises(UserError, match="--block fastchatt: no such file or preset; did you mean 'fastchat'"):
        read_phrases(["fastchatt"])
