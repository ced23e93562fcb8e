"""`split` writes pieces and says what became of the rest."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from camelid.app.cli import main
from camelid.files.read import read_jsonl
from camelid.message import Conversation, Message
from tests.conversations.chats import chat


def test_split_writes_pieces_and_what_became_of_the_rest(
    data: Callable[..., str], folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = data(
        chat("a", *(f"{word} " * 20 for word in ("one", "two", "three", "four", "five", "six"))),
        chat("a_0", "Hi", "no"),  # the id of a's first piece
        Conversation("bad", (Message("assistant", "no"),)),
        chat("long", "Hi", "word " * 400),
    )
    out, options = tmp_path / "pieces.jsonl", ["--template", "chatml", "--tokenizer", folder, "--max-tokens", "300"]
    command = ["conversations", "split", path, "--output", str(out), *options]
    assert main([*command, "--overlong", "drop"]) == 0
    pieces = [Conversation.from_json(record, "x") for _, record in read_jsonl(out)]
    assert "a_0#2" in [piece.id for piece in pieces] and len({piece.id for piece in pieces}) == len(pieces)
    assert [m.content for piece in pieces for m in piece.messages][:6] == [
        f"{word} " * 20 for word in ("one", "two", "three", "four", "five", "six")
    ]
    conversations, exchanges = json.loads(out.with_suffix(".ledger.json").read_text())["ledgers"]
    assert conversations["read"] == 4 and conversations["kept"] == 2
    assert conversations["dropped"] == {"the template cannot write it": 1, "no exchange left": 1}
    assert exchanges["read"] == 5 and exchanges["kept"] == 4
    assert "turn 1 is 'assistant'" in capsys.readouterr().err
    assert main(command) == 0  # without a policy the long one stays, too long
    assert "long" in [record["id"] for _, record in read_jsonl(out)]
    assert main(["conversations", "split", data(), "--output", str(out), *options]) == 1


@pytest.mark.parametrize("overlong", ["drop", "truncate-answer", "keep-last"])
def test_an_overlong_system_message_is_named(
    data: Callable[..., str], folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], overlong: str
) -> None:
    turns = chat("x", "Hi", "no " * 200, "Why?", "So.").messages
    path = data(
        Conversation("long system", (Message("system", "word " * 400), *turns)),
        Conversation("short system", (Message("system", "Be brief."), *turns)),
    )
    out, options = tmp_path / "pieces.jsonl", ["--template", "chatml", "--tokenizer", folder, "--max-tokens", "300"]
    assert main(["conversations", "split", path, "--output", str(out), *options, "--overlong", overlong]) == 0
    _, exchanges = json.loads(out.with_suffix(".ledger.json").read_text())["ledgers"]
    assert exchanges["dropped"].pop("system message alone longer than max_tokens") == 2
    assert exchanges["dropped"].keys() <= {"exchange longer than max_tokens", "answer alone longer than max_tokens"}
    assert {record["id"].split("_")[0] for _, record in read_jsonl(out)} == {"short system"}
    assert "system message alone longer than max_tokens 2" in capsys.readouterr().out
