"""Chats are tokenised by several processes, and nothing tells by how many."""

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from camelid.errors import UserError
from camelid.message import Conversation
from conversations.formats.readers import read_conversations
from conversations.tokens.template import get_template
from conversations.tokens.tokenize import Encoder
from finetune.data.forms import chat
from finetune.data.forms.form import EncodeContext
from finetune.data.token_data import TokenData, load_tokens
from tests.finetune.data.sections import section_of


def load(monkeypatch: pytest.MonkeyPatch, cores: int, cache: Path, data: Path, model: Path) -> tuple[TokenData, int]:
    """The data, and how many processes encoded them."""
    log = cache.with_suffix(".pids")
    encode_batch = chat._encode_batch

    def noting(*arguments: object) -> object:
        with log.open("a") as file:
            file.write(f"{os.getpid()}\n")
        return encode_batch(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(chat, "_encode_batch", noting)
    monkeypatch.setattr(chat, "BATCH", 3)
    monkeypatch.setattr(chat, "ALONE", 2)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)))
    tokens = load_tokens(cache, section_of(data), AutoTokenizer.from_pretrained(model), seed=0)
    monkeypatch.undo()
    return tokens, len(set(log.read_text().split()))


def test_any_number_of_cores_writes_the_same(
    tmp_path: Path, toy_data: Path, toy_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, alone = load(monkeypatch, 1, tmp_path / "one", toy_data, toy_model)
    several, processes = load(monkeypatch, 3, tmp_path / "three", toy_data, toy_model)
    assert (alone, processes > 1) == (1, True)
    [first], [second] = (list((tmp_path / name).iterdir()) for name in ("one", "three"))
    assert first.name == second.name
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes(), path.name
    assert [ledger.read for ledger in several.ledgers] == [60, one.documents]
    encoder = Encoder(get_template("vicuna_v1.1"), AutoTokenizer.from_pretrained(toy_model))
    for index, conversation in enumerate(read_conversations(toy_data)):  # none of them is longer than a sequence
        assert np.array_equal(several.document(index)[0], encoder.encode(conversation).ids)


def test_a_worker_that_is_killed_ends_all_with_an_error_and_loses_nothing(
    tmp_path: Path, toy_data: Path, toy_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where SIGTERM asks to save and leave, as in training, which those who work for it must not inherit."""
    encode_batch, busy = chat._encode_batch, tmp_path / "busy"

    def dying(encoder: Encoder, context: EncodeContext, conversations: list[Conversation]) -> chat._EncodedBatch:
        if conversations[0].id == "toy-6":  # the first that is not encoded here
            busy.touch()
            time.sleep(100)
        while conversations[0].id == "toy-9":
            if busy.exists():
                os.kill(os.getpid(), signal.SIGKILL)
        return encode_batch(encoder, context, conversations)

    monkeypatch.setattr(chat, "_encode_batch", dying)
    handler = signal.signal(signal.SIGTERM, lambda number, frame: None)
    began = time.monotonic()
    try:
        with pytest.raises(UserError, match="was killed, by the system for want of memory perhaps"):
            load(monkeypatch, 3, tmp_path / "cache", toy_data, toy_model)
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert time.monotonic() - began < 60 and not multiprocessing.active_children()
    assert list((tmp_path / "cache").iterdir()) == []
    monkeypatch.undo()
    again, _ = load(monkeypatch, 3, tmp_path / "cache", toy_data, toy_model)
    assert [ledger.read for ledger in again.ledgers] == [60, again.documents]


def test_an_error_in_the_middle_is_that_of_one_process(
    tmp_path: Path, toy_data: Path, toy_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = toy_data.read_text().splitlines()
    broken = json.loads(lines[40])
    broken["messages"][0]["role"] = "wizard"
    path = tmp_path / "broken.jsonl"
    path.write_text("\n".join([*lines[:40], json.dumps(broken), *lines[41:]]))
    for cores in (1, 3):
        with pytest.raises(UserError, match=r"broken\.jsonl:41: .*wizard"):
            load(monkeypatch, cores, tmp_path / f"cache-{cores}", path, toy_model)
