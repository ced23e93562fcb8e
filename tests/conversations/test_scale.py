"""The datatrove pipelines do what the command does, and their ledger adds up."""

import json
from pathlib import Path
from random import Random

import pytest

pytest.importorskip("datatrove")

from conversations.convert import Conversion
from conversations.formats.readers import read_conversations
from conversations.scale import main
from tests.chat_pages import answer, question


def write(path: Path, seed: int) -> Path:
    """30 chats, one bad record, and five chats that nearly repeat one before."""
    rng = Random(seed)
    chats = [
        [question(rng), answer(rng).html + f"<p>{' '.join(str(rng.random()) for _ in range(99))}</p>"]
        for _ in range(30)
    ]
    chats += [[asked, answered + "<p>so</p>"] for asked, answered in chats[:5]]
    lines = []
    for number, chat in enumerate(chats):
        turns = [{"from": who, "value": text} for who, text in zip(("human", "gpt"), chat, strict=True)]
        lines.append(json.dumps({"id": f"{seed}-{number}", "conversations": turns}))
    path.write_text("\n".join([*lines, '{"id": "bad"}']))
    return path


@pytest.mark.parametrize("tasks", [2, pytest.param(4, marks=pytest.mark.slow)])  # as many tasks as files, and more
def test_a_run_on_this_machine(tmp_path: Path, tasks: int) -> None:
    inputs = [write(tmp_path / f"{seed}.jsonl", seed) for seed in range(2)]
    output = tmp_path / "out"
    assert main([*map(str, inputs), "--output", str(output), "--tasks", str(tasks), "--workers", "2"]) == 0
    left = {
        one.id: one for path in sorted((output / "conversations").glob("*.jsonl")) for one in read_conversations(path)
    }
    here = {one.id: one for one in Conversion().run(inputs)}
    assert len(here) == 70 and len(left) == 60
    assert all(left[name].messages == here[name].messages for name in left)
    conversations, turns = json.loads((output / "ledger.json").read_text())["ledgers"]
    assert conversations["dropped"] == {"near-duplicate of another": 10, "unreadable record": 2}
    assert (conversations["read"], conversations["kept"]) == (72, 60)
    assert (turns["read"], turns["kept"]) == (140, 120)
