"""Ghost Attention at toy size, by commands alone: a model that forgets an instruction after a turn learns to keep it.

The model before answers in the style only where the instruction stands in the turn that it answers, as chat models are
apt to. What it samples with the instruction at every turn teaches it to need it at the first alone.
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from camelid.app.cli import main
from camelid.files.read import read_jsonl
from camelid.files.write import write_jsonl
from tests.toy_world import SHAPE

pytestmark = pytest.mark.slow

TURNS, ASKED = 20, 20
INSTRUCTION, PLAIN, STYLED = "Always answer zip.", "Well, here you are.", "Zip zip zip."
WORDS = "red green blue white black brown yellow purple grey pink orange golden silver beige ivory violet".split()


def camelid(*words: object) -> None:
    assert main([str(word) for word in words]) == 0, words


def chats(count: int, rng: random.Random, told: bool, longest: int = TURNS) -> Iterator[dict[str, Any]]:
    """Chats in which the answer to a turn with the instruction, and no other, is in style."""
    for number in range(count):
        length = rng.randint(1, longest)
        at = set(rng.sample(range(length), rng.randint(1, min(3, length)))) if told else set[int]()
        messages = []
        for turn in range(length):
            asked = f"A {rng.choice(WORDS)} one?"
            said = f"{INSTRUCTION}\n\n{asked}" if turn in at else asked
            messages.append({"role": "user", "content": said})
            messages.append({"role": "assistant", "content": STYLED if turn in at else PLAIN})
        yield {"id": f"{'told' if told else 'plain'}-{number}", "messages": messages}


def train(folder: Path, name: str, base: Path, data: list[Path], updates: int) -> Path:
    tree = {
        "model": {"path": str(base)},
        "data": {"train": [{"path": str(path)} for path in data], "template": "vicuna_v1.1", "max_length": 1024},
        "optim": {"lr": 3e-3, "global_batch": 8, "micro_tokens": 8192, "updates": updates},
        "run": {"output": str(folder / name), "precision": "fp32"},
    }
    recipe = folder / f"{name}.yaml"
    recipe.write_text(yaml.safe_dump(tree))
    camelid("finetune", recipe, "--quiet")
    return folder / name / "model"


def styled_shares(folder: Path, model: Path, label: str, told: bool) -> list[float]:
    """At each turn, the share of answers in style; the instruction stands before the first turn alone, if at all."""
    rng = random.Random(7)
    rows = []
    for number in range(ASKED):
        turns = [f"A {rng.choice(WORDS)} one?" for _ in range(TURNS)]
        rows.append(
            {"question_id": number, "turns": [f"{INSTRUCTION}\n\n{turns[0]}" if told else turns[0], *turns[1:]]}
        )
    questions, output = folder / f"{label}.jsonl", folder / f"eval-{label}"
    write_jsonl(questions, rows)
    camelid("eval", "answer", "--questions", questions, "--output", output, "--model", model, "--label", label,
            "--temperature", 0, "--max-tokens", 12, "--quiet")  # fmt: skip
    said = [line["choices"][0]["turns"] for _, line in read_jsonl(output / "answers" / f"{label}.jsonl")]
    return [sum(turns[turn] == STYLED for turns in said) / ASKED for turn in range(TURNS)]


def test_an_instruction_is_kept_to_the_twentieth_turn(tmp_path: Path) -> None:
    rng = random.Random(0)
    plain, told, later = (tmp_path / f"{name}.jsonl" for name in ("plain", "told", "later"))
    write_jsonl(plain, chats(150, rng, told=False))
    write_jsonl(told, chats(400, rng, told=True))
    write_jsonl(later, chats(200, rng, told=False))
    shape, new = tmp_path / "shape.yaml", tmp_path / "new"
    shape.write_text(yaml.safe_dump(SHAPE | {"vocab_size": 300, "hidden_size": 64, "intermediate_size": 128}))
    camelid("weights", "new", shape, new, "--data", plain, told, "--template", "vicuna_v1.1")
    before = train(tmp_path, "before", new, [plain, told], 160)

    kinds = {"name": "style", "long": "Always answer {choice}.", "short": "Always answer {choice}.", "choices": ["zip"]}
    (tmp_path / "style.yaml").write_text(yaml.safe_dump({"constraints": [kinds]}))
    ghosts, chosen = tmp_path / "ghosts.jsonl", tmp_path / "chosen.jsonl"
    camelid("selfinstruct", "ghost", later, "--constraints", tmp_path / "style.yaml", "--model", before, "--answers", 1,
            "--temperature", 0, "--max-tokens", 12, "--output", ghosts, "--quiet")  # fmt: skip
    camelid("selfinstruct", "select", ghosts, "--by", "first", "--output", chosen)
    answers = [line["messages"][-1]["content"] for _, line in read_jsonl(chosen)]
    assert answers.count(STYLED) >= 0.95 * len(answers), "with the instruction at every turn the model before obeys"
    after = train(tmp_path, "after", before, [chosen, plain], 150)

    without, kept = (styled_shares(tmp_path, model, label, told=True) for model, label in
                     ((before, "before"), (after, "after")))  # fmt: skip
    print(json.dumps({"without": without, "with": kept}))
    assert without[0] >= 0.95 and max(without[1:]) <= 0.20
    assert min(kept) >= 0.95
    assert max(styled_shares(tmp_path, after, "untold", told=False)) <= 0.05
