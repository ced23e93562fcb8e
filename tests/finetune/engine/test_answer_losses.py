"""IFD of 100 records against transformers' losses of the same tokens, one record at a time."""

import json
import math
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer

from camelid.app.cli import main
from camelid.files.read import read_json, read_jsonl
from conversations.tokens.template import VICUNA_SYSTEM
from tests.finetune.conftest import WORDS

RECORDS = 100


@pytest.fixture
def chats(tmp_path: Path) -> Path:
    rng = Random(3)
    path = tmp_path / "chats.jsonl"
    with path.open("w") as file:
        for number in range(RECORDS):
            messages: list[dict[str, Any]] = []
            for _ in range(rng.randint(1, 2)):
                messages.append({"role": "user", "content": " ".join(rng.choices(WORDS, k=rng.randint(1, 8)))})
                messages.append({"role": "assistant", "content": " ".join(rng.choices(WORDS, k=rng.randint(1, 12)))})
            file.write(json.dumps({"id": f"c{number}", "messages": messages, "meta": {}}) + "\n")
    return path


def score(chats: Path, output: Path, model: Path) -> int:
    command = ["conversations", "score", str(chats), "--output", str(output), "--quiet", "--scores", "ifd"]
    return main([*command, "--loss-model", str(model)])


def test_ifd_is_the_ratio_of_two_perplexities(chats: Path, tmp_path: Path, lively_model: Path) -> None:
    """Rendered by hand as Vicuna v1.1; the losses are those of the answers' tokens and of the ends of their turns."""
    output = tmp_path / "scored.jsonl"
    assert score(chats, output, lively_model) == 0
    model = AutoModelForCausalLM.from_pretrained(lively_model, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(lively_model)

    def losses(exchanges: list[tuple[str, str]]) -> list[float]:
        text, spans = VICUNA_SYSTEM + " ", []
        for question, answer in exchanges:
            text += f"USER: {question} ASSISTANT:"
            spans.append((len(text), len(text) + len(f" {answer}</s>")))
            text += f" {answer}</s>"
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        ids = torch.tensor([tokenizer.bos_token_id, *encoded["input_ids"]])
        with torch.no_grad():
            nats = cross_entropy(model(ids[None]).logits[0, :-1], ids[1:], reduction="none").tolist()
        ends = [end for _, end in encoded["offset_mapping"]]
        return [loss for loss, end in zip(nats, ends, strict=True) if any(low < end <= high for low, high in spans)]

    found = []
    for _, record in read_jsonl(output):
        texts = [message["content"] for message in record["messages"]]
        exchanges = list(zip(texts[::2], texts[1::2], strict=True))
        given, alone = losses(exchanges), [loss for _, answer in exchanges for loss in losses([("", answer)])]
        assert len(given) == len(alone) > 0
        perplexities = [math.exp(sum(nats) / len(nats)) for nats in (given, alone)]
        assert record["meta"]["scores"]["ifd"] == pytest.approx(perplexities[0] / perplexities[1], rel=2e-4)
        found.append(record["meta"]["scores"]["ifd"])
    assert len(found) == RECORDS and min(found) < 0.97 and max(found) > 1.03


def test_a_run_that_was_killed_goes_on(chats: Path, tmp_path: Path, lively_model: Path) -> None:
    """From a log that ends within a line: what is whole in it is not computed again, and the output is the same."""
    whole, cut = tmp_path / "whole" / "scored.jsonl", tmp_path / "cut" / "scored.jsonl"
    assert score(chats, whole, lively_model) == 0
    log = (whole.parent / "scored.losses.jsonl").read_text()
    lines = log.splitlines(keepends=True)
    assert len(lines) == RECORDS
    cut.parent.mkdir()
    kept = "".join(lines[:64]).replace('"given": ', '"given": 1')  # so that it is seen whose these are
    (cut.parent / "scored.losses.jsonl").write_text(kept + lines[64][:40])
    assert score(chats, cut, lively_model) == 0
    again = (cut.parent / "scored.losses.jsonl").read_text().splitlines(keepends=True)
    assert again[:64] == kept.splitlines(keepends=True) and again[64:] == lines[64:]
    assert cut.read_text().splitlines()[64:] == whole.read_text().splitlines()[64:]


def test_what_has_no_losses_is_told_why(tmp_path: Path, lively_model: Path) -> None:
    path, output = tmp_path / "odd.jsonl", tmp_path / "scored.jsonl"
    answers = [{"content": "blue " * 300}, {"content": "a cat", "weight": 0}, {"content": "a cat"}]
    records = [
        {"id": str(place), "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", **answer}], "meta": {}}
        for place, answer in enumerate(answers)
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert score(path, output, lively_model) == 0
    assert ["ifd" in record["meta"]["scores"] for _, record in read_jsonl(output)] == [False, False, True]
    [ledger] = read_json(tmp_path / "scored.ledger.json")["ledgers"]
    assert ledger["noted"] == {
        "no ifd: longer than the model's context of 256 tokens": 1,
        "no ifd: no trained token": 1,
    }
