"""What is held out is nowhere in what is trained on, however often and in whatever file it comes."""

import json
from pathlib import Path

import numpy as np
from transformers import AutoTokenizer

from finetune.data.token_data import TokenData, load_tokens
from finetune.recipe import DataSection, DataSource

QUESTIONS = [f"What is {number} times {number}?" for number in range(40)]


def chat(*turns: str) -> str:
    roles = ("user", "assistant")
    messages = [{"role": roles[index % 2], "content": turn} for index, turn in enumerate(turns)]
    return json.dumps({"id": str(abs(hash(turns))), "messages": messages}) + "\n"


def load(folder: Path, model: Path, files: dict[str, str], share: float = 0.3) -> TokenData:
    for name, text in files.items():
        (folder / name).write_text(text)
    sources = tuple(DataSource(str(folder / name), weight) for name, weight in zip(files, (2.0, 1.0), strict=False))
    section = DataSection(sources, "vicuna_v1.1", max_length=128, validation=share)
    return load_tokens(folder / "cache", section, AutoTokenizer.from_pretrained(model), seed=0)


def contents(data: TokenData, documents: np.ndarray) -> list[bytes]:
    return [data.document(index)[0].tobytes() for index in documents]


def test_no_held_out_document_is_trained_on(tmp_path: Path, toy_model: Path) -> None:
    """The same chats in two files, twice each in one, and longer ones that are cut: all of them end with one piece."""
    short = [chat(question, "I see.") for question in QUESTIONS]
    long = [chat(f"{question} " + "green " * 60, "I see.", "Why? " + "blue " * 60, "So.") for question in QUESTIONS]
    data = load(tmp_path, toy_model, {"a.jsonl": "".join(short + long), "b.jsonl": "".join(short[::-1])})
    held, trained = contents(data, data.validation), contents(data, data.training)
    assert data.documents == 3 * 40 + 2 * 2 * 40 and max(map(trained.count, trained)) == 80  # that piece
    assert {held.count(document) for document in held} == {2, 3}
    assert not set(held) & set(trained)
    assert 0.1 < len(held) / data.documents < 0.5


def test_more_data_moves_nobody(tmp_path: Path, toy_model: Path) -> None:
    few = load(tmp_path, toy_model, {"a.jsonl": "".join(chat(question, "I see.") for question in QUESTIONS[20:])})
    held = set(contents(few, few.validation))
    every = load(tmp_path, toy_model, {"a.jsonl": "".join(chat(question, "I see.") for question in QUESTIONS)})
    assert held and held <= set(contents(every, every.validation))
    assert not set(contents(few, few.training)) & set(contents(every, every.validation))
