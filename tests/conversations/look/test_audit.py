"""The audit, on data whose faults are known."""

from collections.abc import Callable
from pathlib import Path

import pytest

from camelid.app.cli import main
from camelid.message import Conversation, Message, ToolCall
from tests.conversations.chats import chat

LOOK = {"type": "function", "function": {"name": "look"}}


def run_audit(path: str, folder: str, length: int, *options: str) -> int:
    options = ("--template", "chatml", "--tokenizer", folder, "--max-length", str(length), *options)
    return main(["conversations", "audit", path, *options])


def test_audit_passes_good_data(data: Callable[..., str], folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    chats = [chat(str(number), f"Question {number}?", f"Answer {number}.") for number in range(30)]
    assert run_audit(data(*chats), folder, 200) == 0
    out = capsys.readouterr().out
    assert "0 of 30 answers lose their end-of-turn token" in out and "ready to train" in out and "FAIL" not in out


@pytest.mark.parametrize(
    ("chats", "finding"),
    [
        ([chat(str(n), "Hi", "no", weight=0.0) for n in range(9)], "9 of 9 documents have nothing to train on"),
        ([chat("q", "Hi")], "1 of 1 documents have nothing to train on"),
        ([chat(str(n), "Hi", f"{n} and on " * 99) for n in range(9)], "9 of 9 answers lose their end-of-turn token"),
        ([chat(str(n), "Hi", "no") for n in range(9)], "8 of 9 documents repeat another, token for token"),
        ([Conversation("r", (Message("assistant", "no"),))], "turn 1 is 'assistant', expected 'user'"),
        ([chat("w", "word " * 150, "k")], "tokens are trained"),
        (
            [chat(str(n), f"{n}", f"{n} USER: and?" if n else "0") for n in range(9)],
            "8 of 9 conversations have a role marker",
        ),
        ([], "no document is left to train on"),
    ],
)
def test_audit_stops_what_would_waste_a_run(
    data: Callable[..., str],
    folder: str,
    capsys: pytest.CaptureFixture[str],
    chats: list[Conversation],
    finding: str,
) -> None:
    assert run_audit(data(*chats), folder, 800 if finding == "tokens are trained" else 100) == 1
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if finding in line and line.startswith("FAIL")], out
    assert "not ready to train" in out


@pytest.mark.parametrize(
    "typed",
    ["Yes.\nUSER: more? ASSISTANT: no", "ok [/INST] so", "[INST] hi", "<<SYS>>\nx", "a\n\n### Response:\nb",
     "### Input:", "<|im_end|>", "<|im_start|>user\nhi", "x<|eot_id|>", "<|start_header_id|>user<|end_header_id|>"],
)  # fmt: skip
def test_a_typed_role_marker_is_named(
    data: Callable[..., str], folder: str, capsys: pytest.CaptureFixture[str], typed: str
) -> None:
    chats = [chat(str(number), f"Question {number}?", f"Answer {number}.") for number in range(200)]
    run_audit(data(*chats, chat("marked", "Why?", typed)), folder, 200)
    out = capsys.readouterr().out
    assert "note  1 of 201 conversations have a role marker typed in them (0.5%)" in out
    [marker] = [line.split()[1] for line in out.splitlines() if line.endswith(" in 1")]
    assert marker in typed


def test_what_only_looks_like_a_role_marker_is_none(
    data: Callable[..., str], folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = ("SUPERUSER: root", "The user: a person", "## Response", "<s>struck</s>", "assistant")
    assert run_audit(data(*(chat(text, "Why?", text) for text in texts)), folder, 200) == 0
    assert "role marker" not in capsys.readouterr().out


def test_audit_counts_what_training_will_see(
    data: Callable[..., str], folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same numbers as the training data loader's."""
    from transformers import AutoTokenizer

    from finetune.data.token_data import load_tokens
    from finetune.recipe import DataSection, DataSource

    chats = [chat(str(n), *("word " * (5 * n + k + 1) for k in range(6))) for n in range(12)]
    path = data(*chats)
    run_audit(path, folder, 120)
    out = capsys.readouterr().out
    section = DataSection((DataSource(path),), "chatml", max_length=120)
    loaded = load_tokens(Path(path).parent, section, AutoTokenizer.from_pretrained(folder), 0)
    assert f"of {loaded.tokens:,} tokens are trained" in out
    documents = loaded.ledgers[1]
    untrained, cut = documents.dropped["nothing to train on"], documents.repaired["answer cut at max_length"]
    assert untrained and cut
    assert f"{untrained} of {documents.read} documents have nothing to train on" in out
    assert f"{cut} of {loaded.documents} documents are cut off at 120 tokens" in out
    histogram = [int(row.split()[-1]) for row in out.split("documents)\n")[1].splitlines() if row.startswith("  ")]
    assert sum(histogram) == documents.read and histogram[-1] >= untrained + cut


def test_exchanges_whose_tools_the_template_cannot_write_are_left_out_as_in_training(
    data: Callable[..., str], folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    call = Message("assistant", "", tool_calls=(ToolCall("look", "{}"),))
    turns = (Message("user", "q"), call, Message("tool", "3"), Message("assistant", "It is 3."))
    chats = [chat(str(n), f"Question {n}?", f"Answer {n}.") for n in range(8)]
    used = Conversation("t", (*chats[0].messages[:1], Message("assistant", "Other."), *turns), {}, (LOOK,))
    path = data(*chats, used, Conversation("u", turns))
    main(["conversations", "audit", path, "--template", "alpaca", "--tokenizer", folder, "--max-length", "200"])
    out = capsys.readouterr().out
    assert "0 of 10 conversations refused" in out and "note  2 exchanges with tools are left out" in out
    assert "template 'alpaca' writes no tools" in out and "0 of 9 answers lose" in out
