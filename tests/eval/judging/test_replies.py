"""Every crafted reply is read right or given up as it should be: `replies.jsonl` was written before the parsers."""

from collections import Counter
from pathlib import Path

import pytest

from camelid.files.read import Record, read_jsonl
from eval.judging.modes.mode import read_reply
from eval.judging.modes.table import MODES
from tests.eval.commands import ASKED

REPLIES = [record for _, record in read_jsonl(Path(__file__).parent / "replies.jsonl")]


def test_there_are_enough_of_every_mode() -> None:
    assert len(REPLIES) >= 300 and set(Counter(record["mode"] for record in REPLIES)) == set(ASKED)


@pytest.mark.parametrize("mode", ASKED)
def test_no_reply_is_read_wrongly(mode: str) -> None:
    def found(record: Record) -> list[float] | None:
        scores = read_reply(MODES[mode], record["reply"], {}, record.get("finish_reason", "stop"))
        return None if scores is None else list(scores)

    mine = [record for record in REPLIES if record["mode"] == mode]
    assert [(record["reply"], found(record)) for record in mine if found(record) != record["scores"]] == []
