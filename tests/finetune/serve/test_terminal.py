"""A chat in the terminal, line by line."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from camelid.app.cli import main
from camelid.message import Message
from camelid.terminal import printable
from conversations.formats.readers import read_conversations
from finetune.generate.decode import generate
from finetune.generate.sampling import Sampling
from finetune.serve.served import ServedModel
from finetune.serve.terminal import HELP, Terminal


def talk(served: ServedModel, *lines: str) -> list[str]:
    """What the terminal shows after each line."""
    out, given, shown = io.StringIO(), iter(lines), list[str]()

    def read(prompt: str) -> str:
        shown.append(out.getvalue())
        out.seek(0)
        out.truncate()
        try:
            return next(given)
        except StopIteration:
            raise EOFError from None

    assert Terminal(served, Sampling(20, temperature=0), None, 0, read, out).run() == 0
    return shown[1:]


def answer(served: ServedModel, *messages: Message) -> str:
    prompt = served.encoder.encode_prompt(messages)
    [truth] = generate(served.model, [prompt], [0], served.tokenizer, served.end_ids, Sampling(20, temperature=0))
    return truth.text.strip()


def test_a_chat_with_history_system_reset_and_save(served: ServedModel, tmp_path: Path) -> None:
    path = tmp_path / "chats.jsonl"
    user = Message("user", "red cat")
    first = answer(served, user)
    second = answer(served, user, Message("assistant", first), Message("user", "slow"))
    kind = answer(served, Message("system", "be kind"), user)
    shown = talk(
        served, "red cat", "", "slow", f"/save {path}", "/system be kind", "red cat", f"/save {path}", "/reset",
        f"/save {path}", "/nonsense", "red " * 300, "red cat",
    )  # fmt: skip
    assert shown[0] == printable(first) + "\n" and shown[1] == "" and shown[2] == printable(second) + "\n"
    assert shown[5] == printable(kind) + "\n"
    assert "nothing to save" in shown[8] and "/system" in shown[9] and "fewer than 256" in shown[10]
    assert shown[11] == printable(kind) + "\n"  # the line that was too long is not in the history
    chats = list(read_conversations(path))
    assert [len(chat.messages) for chat in chats] == [4, 3]
    assert chats[0].messages[1] == Message("assistant", first) and chats[1].messages[0].role == "system"


def test_ctrl_c_keeps_what_was_said(served: ServedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(served, Sampling(20, temperature=0), read=lambda _: "", out=io.StringIO())

    def pieces() -> Iterator[str]:
        yield "half"
        raise KeyboardInterrupt

    monkeypatch.setattr(terminal, "_pieces", pieces)
    terminal._answer("red cat")
    assert terminal._messages() == [Message("user", "red cat"), Message("assistant", "half")]


def test_a_model_does_not_drive_the_terminal(served: ServedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = ["\x1b", "]0;owned\x07", "\x9b2J", "\r\u202e ok\n"]
    monkeypatch.setattr("finetune.serve.terminal.write_answer", lambda *_: iter(pieces))
    [shown] = talk(served, "red cat")
    assert shown == "\\x1b]0;owned\\x07\\x9b2J\\x0d\\u202e ok\n"


@pytest.mark.parametrize("ending", ["/exit", "/quit"])
def test_words_that_end_the_chat(served: ServedModel, ending: str) -> None:
    out = io.StringIO()
    lines = iter([ending, "red cat"])
    assert Terminal(served, Sampling(20), read=lambda _: next(lines), out=out).run() == 0
    assert next(lines) == "red cat" and ending in HELP


def test_a_byte_that_is_no_utf_8_ends_nothing(
    lively_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = io.TextIOWrapper(io.BytesIO(b"red \xff cat\n/system \xe4\nslow\n"), encoding="utf-8")
    monkeypatch.setattr("sys.stdin", typed)
    assert main(["chat", str(lively_model), "--max-tokens", "3"]) == 0
    assert capsys.readouterr().out.count("> ") == 4  # three lines and the end
