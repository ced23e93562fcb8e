"""Files in, one clean file out, everything counted."""

import json
import os
from pathlib import Path

import pytest

from camelid.errors import UserError
from conversations.convert import Conversion
from conversations.message import Conversation
from conversations.readers import read_conversations

SAMPLE = Path(__file__).parents[2] / "conversations" / "data" / "sharegpt_sample.json"
QUESTIONS = Path(__file__).parents[2] / "eval" / "data" / "demo_questions.jsonl"


def convert(*paths: Path, questions: tuple[str, ...] = ()) -> tuple[list[Conversation], Conversion]:
    conversion = Conversion()
    return list(conversion.run(paths, questions)), conversion


def sharegpt(path: Path, *records: object) -> Path:
    path.write_text(json.dumps(list(records)))
    return path


def chat(name: object, *values: str) -> dict[str, object]:
    turns = [{"from": "gpt" if index % 2 else "human", "value": value} for index, value in enumerate(values)]
    return {"id": name, "conversations": turns}


def test_the_sample() -> None:
    question = json.loads(QUESTIONS.read_text().splitlines()[0])["turns"][0]
    kept, conversion = convert(SAMPLE, questions=(question,))
    assert conversion.conversations.read == 60 and len(kept) == conversion.conversations.kept
    assert set(conversion.conversations.dropped) == {
        "exact repeat of one before",
        "contains an evaluation question",
        "no turns",
        "unreadable record",
    }
    [fault] = conversion.faults
    assert "sharegpt_sample.json[59]: conversations[1]: field 'value' must be a string, found None" in fault
    turns = sum(len(item["conversations"]) for item in json.loads(SAMPLE.read_text())[:59])
    assert conversion.turns.read == turns
    assert not any(
        "<div" in m.content for c in kept for m in c.messages if m.role == "assistant" and "`" not in m.content
    )


def test_drops(tmp_path: Path) -> None:
    path = sharegpt(
        tmp_path / "a.json",
        chat("a", "hi", "yes"),
        chat("b", "hi", "<p>yes</p>"),  # the same after cleaning
        chat("c", "alone"),
        chat("d", "What is the capital of France?", "Paris"),
        {"id": "e", "conversations": [{"from": "robot", "value": "x"}]},
        {"foo": 1},
        chat("a", "other", "text"),
    )
    kept, conversion = convert(path, questions=("what is the CAPITAL of france",))
    assert [conversation.id for conversation in kept] == ["a", "a#2"]
    assert conversion.conversations.dropped == {
        "exact repeat of one before": 1,
        "no exchange left": 1,
        "contains an evaluation question": 1,
        "unreadable record": 2,
    }
    assert conversion.turns.read == 4 * 2 + 1 and conversion.turns.kept == 4
    assert "conversations[0].from: unknown role 'robot'" in conversion.faults[0]


def test_output_reads_back(tmp_path: Path) -> None:
    kept, _ = convert(SAMPLE)
    path = tmp_path / "out.jsonl"
    path.write_text("".join(json.dumps(conversation.to_json()) + "\n" for conversation in kept))
    assert list(read_conversations(path)) == kept
    again, conversion = convert(path)
    assert again == kept and not conversion.turns.dropped and not conversion.turns.repaired


def test_a_file_that_is_no_json_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[\n{]")
    with pytest.raises(UserError, match=r"a\.json:2: broken JSON"):
        convert(tmp_path / "a.json")


@pytest.mark.skipif("CAMELID_REAL_DATA" not in os.environ, reason="CAMELID_REAL_DATA is not set")
def test_the_published_conversations_are_all_kept() -> None:
    path = Path(os.environ["CAMELID_REAL_DATA"]) / "conversations" / "dummy_conversation.json"
    kept, conversion = convert(path)
    assert len(kept) == 500 and not conversion.conversations.dropped
    original = [[turn["value"] for turn in record["conversations"]] for record in json.loads(path.read_text())]
    assert [[message.content for message in conversation.messages] for conversation in kept] == original
