"""`split` writes pieces and says what became of the rest."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from camelid.app.cli import main
from camelid.files.read import read_jsonl
from camelid.message import Conversation, Message
from conversations.tokens.open_tokenizer import open_tokenizer
from conversations.tokens.template import get_template
from conversations.tokens.tokenize import Encoder
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
    _, exchanges = json.loads(out.with_suffix(".ledger.json").read_text())["ledgers"]
    assert exchanges["noted"] == {"exchange longer than max_tokens": 1} and exchanges["dropped"].keys() == {
        "in a conversation that was dropped"
    }
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


def test_what_stays_too_long_is_named(
    data: Callable[..., str], folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = "word " * 400
    path = data(
        chat("short", "Hi", "no"),
        chat("alone", "Hi", long),
        chat("amid", "Hi", "no", "Why?", long, "So?", "So."),
        Conversation("told", (Message("system", long), *chat("x", "Hi", "no", "Why?", "So.").messages)),
    )
    out, options = tmp_path / "pieces.jsonl", ["--template", "chatml", "--tokenizer", folder, "--max-tokens", "300"]
    assert main(["conversations", "split", path, "--output", str(out), *options]) == 0
    ledger = json.loads(out.with_suffix(".ledger.json").read_text())
    noted = {"exchange longer than max_tokens": 2, "system message alone longer than max_tokens": 2}
    assert ledger["ledgers"][1]["noted"] == noted
    sizes = dict(line.split(": ") for line in ledger["too_long"])
    assert list(sizes) == ["alone", "amid_1", "told_0", "told_1"]
    encoder = Encoder(get_template("chatml"), open_tokenizer(folder))
    for _, record in read_jsonl(out):
        length = encoder.length(Conversation.from_json(record, "x"))
        assert sizes.get(record["id"]) == (f"{length} tokens" if length > 300 else None)
    said = capsys.readouterr()
    assert "kept all the same: exchange longer than max_tokens 2" in said.out
    assert f"still longer than 300 tokens: 4 pieces, the first alone: {sizes['alone']}; all in" in said.err
    assert main(["conversations", "split", data(chat("short", "Hi", "no")), "--output", str(out), *options]) == 0
    assert "longer than" not in capsys.readouterr().err
