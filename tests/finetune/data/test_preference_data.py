"""Preferences as documents: what is trained of them, what becomes of those that do not fit, and where answers lie."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from camelid.errors import UserError
from finetune.data.batches import Plan, make_micro_batch, micro_batches_of_rank
from finetune.data.preference_data import PreferenceData, load_preferences
from finetune.recipe import DataSource, OptimSection, PreferenceDataSection
from tests.finetune.preference.truth import TEMPLATE, tokenise, write_labelled, write_preferences

SHARED, APART = 0.0, 2.0


def load(
    model: Path,
    file: Path,
    share_from: float = SHARED,
    unit: Any = "pairs",
    longest: int = 512,
    validation: float = 0.0,
) -> PreferenceData:
    section = PreferenceDataSection((DataSource(str(file)),), TEMPLATE, longest, validation)
    tokenizer = AutoTokenizer.from_pretrained(model)
    return load_preferences(file.parent / "cache", section, tokenizer, 0, unit, share_from)


def record(prompt: list[str], chosen: dict[str, Any], rejected: dict[str, Any]) -> dict[str, Any]:
    turns = [{"role": ("user", "assistant")[index % 2], "content": text} for index, text in enumerate(prompt)]
    return {"id": "one", "prompt": turns, "chosen": chosen, "rejected": rejected, "grade": 2, "source": "human/test"}


def write(path: Path, *records: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in records))
    return path


@pytest.mark.parametrize("share_from", [SHARED, APART])
def test_every_answer_is_seen_as_if_it_stood_alone(toy_model: Path, tmp_path: Path, share_from: float) -> None:
    """Its ids, its positions, what each of its tokens is predicted from, and where it ends."""
    file = write_preferences(tmp_path / "pairs.jsonl", 5)
    data = load(toy_model, file, share_from)
    batch = make_micro_batch(data.tokens, [np.array([3, 1])], torch.device("cpu"))
    records = [json.loads(line) for line in file.read_text().splitlines()]
    assert batch.answers is not None and batch.answers.numbers.tolist() == [6, 7, 2, 3]
    sides = [(records[number], side) for number in (3, 1) for side in ("chosen", "rejected")]
    for place, (one, side) in enumerate(sides):
        alone = tokenise(toy_model, one["prompt"], one[side]["content"])
        mine = batch.answers.owners == place
        assert batch.targets[mine].tolist() == alone.ids[alone.prompt :].tolist()
        predictors = batch.trained[mine]
        assert batch.positions[predictors].tolist() == list(range(alone.prompt - 1, len(alone.ids) - 1))
        assert batch.input_ids[predictors].tolist() == alone.ids[alone.prompt - 1 : -1].tolist()
        assert int(batch.input_ids[batch.answers.ends[place]]) == int(alone.ids[-1])
        assert int(batch.positions[batch.answers.ends[place]]) == len(alone.ids) - 1
    lengths = [len(tokenise(toy_model, one["prompt"], one[side]["content"]).ids) for one, side in sides]
    assert (batch.tokens < sum(lengths)) == (share_from == SHARED)
    assert batch.tokens == sum(lengths) or share_from == SHARED


def test_a_truncated_answer_has_no_end(toy_model: Path, tmp_path: Path) -> None:
    one = record(["red cat"], {"content": "blue dog", "truncated": True}, {"content": "blue dog bird"})
    data = load(toy_model, write(tmp_path / "pairs.jsonl", one))
    batch = make_micro_batch(data.tokens, [np.array([0])], torch.device("cpu"))
    end = AutoTokenizer.from_pretrained(toy_model).eos_token_id
    assert batch.answers is not None
    first, second = batch.input_ids[batch.answers.ends].tolist()
    assert first != end and second == end


def test_what_is_too_long_loses_its_oldest_exchanges_or_is_dropped(toy_model: Path, tmp_path: Path) -> None:
    old, new = " ".join(["small cat", "red dog"] * 60), "red cat"
    long = record([old, "green", new], {"content": "blue"}, {"content": "bird"})
    hopeless = record([new], {"content": "blue cat " * 60}, {"content": "red bird " * 60})
    plain = record([new], {"content": "blue"}, {"content": "bird"})
    file = write(tmp_path / "pairs.jsonl", long, hopeless, plain)
    fitting = len(tokenise(toy_model, plain["prompt"], "blue").ids) + 10
    data = load(toy_model, file, longest=fitting)
    [ledger] = data.tokens.ledgers
    assert (ledger.read, ledger.kept) == (3, 2)
    assert dict(ledger.dropped) == {"prompt and answers longer than data.max_length": 1}
    assert dict(ledger.repaired) == {"oldest exchanges of the prompt left out": 1}
    first, second = (data.tokens.document(index)[0].tolist() for index in range(2))
    assert first == second  # what is left of the long one is the plain one


def test_answers_with_a_label_are_measured_with_the_answer_to_another_prompt(toy_model: Path, tmp_path: Path) -> None:
    file = write_labelled(tmp_path / "answers.jsonl", write_preferences(tmp_path / "pairs.jsonl", 4))
    data = load(toy_model, file, unit="answers")
    records = [json.loads(line) for line in file.read_text().splitlines()]
    assert data.labels.tolist() == [1, -1, 0, -1, 1, -1, 0, -1]
    for number, other in enumerate([1, 0, 1, 2]):
        batch = make_micro_batch(data.tokens, [np.array([number])], torch.device("cpu"))
        assert batch.answers is not None
        texts = [records[number]["answer"]["content"], records[other]["answer"]["content"]]
        for place, text in enumerate(texts):
            expected = tokenise(toy_model, records[number]["prompt"], text)
            assert batch.targets[batch.answers.owners == place].tolist() == expected.ids[expected.prompt :].tolist()


def test_pairs_are_two_answers_each_measured_with_another_prompts(toy_model: Path, tmp_path: Path) -> None:
    data = load(toy_model, write_preferences(tmp_path / "pairs.jsonl", 3), unit="answers")
    assert data.labels.tolist() == [1, -1, 0, -1] * 3
    answers = [data.tokens.document(index)[0] for index in range(6)]
    assert len(answers) == 6
    [ledger] = data.tokens.ledgers
    assert (ledger.unit, ledger.kept) == ("answers", 6)


def test_a_prompt_is_held_out_with_all_its_pairs(toy_model: Path, tmp_path: Path) -> None:
    pairs = write_preferences(tmp_path / "pairs.jsonl", 12).read_text().splitlines()
    file = tmp_path / "twice.jsonl"
    others = [json.loads(line) for line in pairs]
    swapped = [{**one, "chosen": one["rejected"], "rejected": one["chosen"]} for one in others]
    write(file, *others, *swapped)
    data = load(toy_model, file, validation=0.3)
    held = set(data.tokens.validation.tolist())
    assert 0 < len(held) < 24
    assert {number % 12 for number in held} == {number for number in held if number < 12}


def test_processes_have_about_as_much_to_do(toy_model: Path, tmp_path: Path) -> None:
    """Pairs are as long as they are: those that two processes read at the same time are about equally long."""
    data = load(toy_model, write_preferences(tmp_path / "pairs.jsonl", 24)).tokens
    section = PreferenceDataSection((DataSource("pairs"),), TEMPLATE, 512)
    plan = Plan(data, section, OptimSection(lr=1.0, global_batch=16), seed=0)
    rows = plan.rows(0)
    assert len(rows) == 16 and all(row.size == 1 for row in rows)
    first, second = (
        [
            int(data.lengths[np.concatenate(part)].sum())
            for part in micro_batches_of_rank(rows, data.lengths, rank, 2, 1)
        ]
        for rank in (0, 1)  # of one token at most, so that each pair comes alone
    )
    spread = max(first) - min(first)
    assert max(abs(one - other) for one, other in zip(first, second, strict=True)) < spread / 2


@pytest.mark.parametrize(
    ("record", "unit", "says"),
    [
        ({"chosen": "a", "rejected": "b"}, "pairs", r"one\.jsonl:1: no preference record; `camelid conversations pref"),
        (
            {"prompt": [{"role": "user", "content": "q"}], "answer": {"content": "a"}, "label": True},
            "pairs",
            r"one\.jsonl:1: one answer with a label, where pairs are trained on; train it with kind: kto",
        ),
        (
            {"prompt": [{"role": "user", "content": "q"}], "answer": {"content": "a"}, "label": True},
            "answers",
            r"no preference that can be trained on .*no other prompt",
        ),
    ],
)
def test_what_cannot_be_trained_on_is_named(
    toy_model: Path, tmp_path: Path, record: dict[str, Any], unit: str, says: str
) -> None:
    with pytest.raises(UserError, match=says):
        load(toy_model, write(tmp_path / "one.jsonl", record), unit=unit)
