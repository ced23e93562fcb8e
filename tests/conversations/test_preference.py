"""Preference records and candidates: what is written is read, what is broken is named."""

import json
from pathlib import Path
from typing import Any

import pytest

from camelid.errors import UserError
from camelid.files.write import write_jsonl
from camelid.message import Message
from conversations.candidates import Candidates, SampledAnswer, read_candidates, write_candidates
from conversations.preference import AnswerText, LabelledAnswer, Preference, Safety, read_labels, read_pairs

ASKED = (Message("system", "Be brief."), Message("user", "Name a colour."))
PAIR = Preference(
    "p", ASKED, AnswerText("Red.", "sft-v1"), AnswerText("No", truncated=True), 2, Safety(True, False), "human/vote",
    {"source": "mine"},
)  # fmt: skip
LABEL = LabelledAnswer("l", ASKED, AnswerText("Red."), False, "ai/gpt-4o")
SAMPLED = SampledAnswer("Red.", "sft-v1", 1.2, "length", {"helpful": -1.5}, (5, 2))


def test_a_pair_is_written_and_read(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "p.jsonl", [PAIR.to_json()])
    assert list(read_pairs(tmp_path / "p.jsonl")) == [PAIR]


def test_labels_are_read_from_both_shapes_and_pairs_from_one(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "p.jsonl", [LABEL.to_json(), PAIR.to_json()])
    labels = list(read_labels(tmp_path / "p.jsonl"))
    assert labels[0] == LABEL
    assert [(one.id, one.answer, one.label) for one in labels[1:]] == [
        ("p/chosen", PAIR.chosen, True), ("p/rejected", PAIR.rejected, False),
    ]  # fmt: skip
    with pytest.raises(UserError, match=r"p\.jsonl:1: one answer with a label, where pairs are needed"):
        list(read_pairs(tmp_path / "p.jsonl"))


def test_candidates_are_written_and_read(tmp_path: Path) -> None:
    one = Candidates("c", ASKED, (SAMPLED, SampledAnswer("Blue.")), {"is_safety": True})
    write_candidates(tmp_path / "c.jsonl", [one])
    assert list(read_candidates(tmp_path / "c.jsonl")) == [one]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"prompt": []}, "field 'prompt' must be a non-empty list"),
        ({"prompt": [{"role": "assistant", "content": "Hi"}]}, "the last message of 'prompt' must be the user's"),
        ({"chosen": "Red."}, "field 'chosen' must be an object whose 'content' is a string"),
        ({"rejected": {"content": "No", "model": 3}}, "field 'rejected.model' must be a string, found 3"),
        ({"grade": 4}, "field 'grade' must be from 0 to 3, or null, found 4"),
        ({"grade": True}, "field 'grade' must be from 0 to 3, or null, found True"),
        ({"grade": [1]}, "field 'grade' must be from 0 to 3, or null"),
        ({"safety": {"chosen": 1, "rejected": True}}, "field 'safety' must be {chosen, rejected}"),
        ({"meta": 3}, "field 'meta' must be an object"),
        ({"answer": {"content": "Red."}, "label": "yes"}, "field 'label' must be true or false, found 'yes'"),
    ],
)
def test_a_broken_record_names_file_line_and_field(tmp_path: Path, change: dict[str, Any], error: str) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps(PAIR.to_json()) + "\n" + json.dumps({**PAIR.to_json(), **change}) + "\n")
    with pytest.raises(UserError) as found:
        list(read_labels(path))
    assert f"{path}:2: " in str(found.value) and error in str(found.value)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"content": None}, "answers[0] must be an object whose 'content' is a string"),
        ({"scores": {"helpful": float("inf")}}, "answers[0].scores must be an object of finite numbers"),
        ({"scores": {"helpful": "high"}}, "answers[0].scores must be an object of finite numbers"),
        ({"ids": [1, "2"]}, "answers[0].ids must be a list of token ids"),
        ({"temperature": "hot"}, "answers[0].temperature must be a number, found 'hot'"),
    ],
)
def test_a_broken_answer_names_file_line_and_field(tmp_path: Path, change: dict[str, Any], error: str) -> None:
    path = tmp_path / "c.jsonl"
    record = {"id": "c", "prompt": [{"role": "user", "content": "Hi"}], "answers": [{**SAMPLED.to_json(), **change}]}
    path.write_text(json.dumps(record) + "\n")
    with pytest.raises(UserError) as found:
        list(read_candidates(path))
    assert f"{path}:1: {error}" in str(found.value)
