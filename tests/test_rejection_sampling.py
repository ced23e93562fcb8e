"""A round of rejection sampling at toy size, by commands alone: two reward models score, one rule chooses."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from camelid.app.cli import main
from camelid.files.read import read_jsonl
from camelid.files.write import write_jsonl
from conversations.preference import read_pairs
from tests.fake_openai import FakeOpenAI
from tests.toy_world import SHAPE

pytestmark = pytest.mark.slow

WORDS = "red green blue white black brown yellow purple grey pink orange golden silver beige ivory violet".split()
# What an answer says makes it helpful or not, and safe or not.
HELP, SAFE = ("Gladly, here it is.", "I do not know."), ("Take care.", "Break it.")


def camelid(*words: object) -> None:
    assert main([str(word) for word in words]) == 0, words


def answer(helpful: int, safe: int) -> str:
    return f"{HELP[helpful]} {SAFE[safe]}"


def pairs(count: int, rng: random.Random, about: str) -> Iterator[dict[str, Any]]:
    """As most files have them: the better answer has the first of two texts, the other text is drawn."""
    for _ in range(count):
        other = [rng.randrange(2) for _ in range(2)]
        better, worse = (
            (answer(at, free) if about == "helpful" else answer(free, at))
            for at, free in zip((0, 1), other, strict=True)
        )
        yield {"prompt": f"A {rng.choice(WORDS)} one?", "chosen": better, "rejected": worse}


def test_the_best_answers_are_chosen(tmp_path: Path) -> None:
    rng, rewards = random.Random(0), list[object]()
    prompts = [{"id": f"p{at}", "prompt": [{"role": "user", "content": f"A {WORDS[at]} one?"}],
                "meta": {"is_safety": at % 2 == 0}} for at in range(len(WORDS))]  # fmt: skip
    write_jsonl(tmp_path / "prompts.jsonl", prompts)
    for about in ("helpful", "safe"):
        write_jsonl(tmp_path / f"{about}.raw.jsonl", pairs(400, rng, about))
        camelid(
            "conversations",
            "preferences",
            tmp_path / f"{about}.raw.jsonl",
            "--output",
            tmp_path / f"{about}.jsonl",
            "--quiet",
        )
    shape, new = tmp_path / "shape.yaml", tmp_path / "new"
    shape.write_text(yaml.safe_dump(SHAPE | {"vocab_size": 320}))
    asked = ({"instruction": one["prompt"], "output": one["chosen"]} for one in pairs(200, rng, "safe"))
    write_jsonl(tmp_path / "texts.jsonl", asked)
    camelid("weights", "new", shape, new, "--data", tmp_path / "texts.jsonl", "--template", "vicuna_v1.1")
    for about in ("helpful", "safe"):
        tree = {
            "kind": "reward",
            "model": {"path": str(new)},
            "data": {
                "train": [{"path": str(tmp_path / f"{about}.jsonl")}],
                "template": "vicuna_v1.1",
                "max_length": 256,
            },
            "optim": {"lr": 3e-3, "global_batch": 32, "micro_tokens": 8192, "epochs": 4},
            "run": {"output": str(tmp_path / "runs" / about), "precision": "fp32"},
        }
        (tmp_path / f"{about}.yaml").write_text(yaml.safe_dump(tree))
        camelid("finetune", tmp_path / f"{about}.yaml", "--quiet")
        rewards += ["--reward", f"{about}={tmp_path / 'runs' / about / 'model'}"]

    def say(body: dict[str, Any]) -> str:
        drawn = random.Random(body["seed"])
        return answer(drawn.randrange(2), drawn.randrange(2))

    candidates = tmp_path / "candidates.jsonl"
    with FakeOpenAI(say) as server:
        camelid("selfinstruct", "sample", tmp_path / "prompts.jsonl", "--answers", 12, "--model", "fake",
                "--base-url", server.url, "--output", candidates, "--quiet")  # fmt: skip
    camelid("finetune", "score", candidates, *rewards, "--quiet")
    camelid("selfinstruct", "select", candidates, "--by", "llama2", "--output", tmp_path / "sft.jsonl")
    chosen = {line["id"]: line["messages"][-1]["content"] for _, line in read_jsonl(tmp_path / "sft.jsonl")}
    assert len(chosen) == len(WORDS)
    for record in prompts:
        first = SAFE[0] if record["meta"]["is_safety"] else HELP[0]  # type: ignore[index]
        assert first in chosen[str(record["id"])], record
        assert SAFE[1] not in chosen[str(record["id"])], "what is unsafe is worth no more than its safety"
    camelid(
        "selfinstruct", "select", candidates, "--by", "helpful", "--preferences", "--output", tmp_path / "pairs.jsonl"
    )
    for pair in read_pairs(tmp_path / "pairs.jsonl"):
        assert HELP[0] in pair.chosen.content and HELP[1] in pair.rejected.content and pair.meta["margin"] > 0
