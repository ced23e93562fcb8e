"""A toy that adds one too many most of the time learns to add, from nothing but whether its answers are exact."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from conversations.formats.readers import read_conversations
from conversations.tokens.template import get_template
from finetune.folders import weights
from finetune.folders.tokenizer import train_tokenizer
from finetune.llama.config import LlamaConfig
from tests.finetune.runs import metrics, run

TEMPLATE = "vicuna_v1.1"
RIGHT = 0.2  # share of the sums in the supervised data that are right; the others are one too many


def write_sums(folder: Path) -> tuple[Path, Path]:
    """Sums of two digits below five, most of them wrong, to begin from; and the questions with the answers."""
    rng = random.Random(0)
    problems = [(a, b) for a in range(5) for b in range(5)]
    chats, prompts = folder / "chats.jsonl", folder / "prompts.jsonl"
    with chats.open("w") as file:
        for number, (a, b) in enumerate(problems * 40):
            said = a + b if rng.random() < RIGHT else a + b + 1
            messages = [{"role": "user", "content": f"{a}+{b}"}, {"role": "assistant", "content": f"{said}"}]
            file.write(json.dumps({"id": f"c{number}", "messages": messages}) + "\n")
    with prompts.open("w") as file:
        for a, b in problems:
            record = {
                "id": f"{a}+{b}",
                "prompt": [{"role": "user", "content": f"{a}+{b}"}],
                "answers": [{"content": "?"}],
            }
            file.write(json.dumps({**record, "meta": {"answer": str(a + b)}}) + "\n")
    return chats, prompts


@pytest.mark.slow
def test_exact_answers_teach_addition(tmp_path: Path) -> None:
    chats, prompts = write_sums(tmp_path)
    template = get_template(TEMPLATE)
    texts = [span.text for chat in read_conversations(chats) for span in template.spans(chat)]
    tokenizer = train_tokenizer(texts, 330, template)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=256, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    weights.save_model(weights.init_model(config, seed=0).state_dict(), config, tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    sft: dict[str, Any] = {
        "model": {"path": str(tmp_path / "base")},
        "data": {"train": [{"path": str(chats)}], "template": TEMPLATE, "max_length": 128},
        "optim": {"lr": 3e-3, "global_batch": 32, "micro_tokens": 4224, "updates": 300},
        "run": {"output": str(tmp_path / "sft"), "precision": "fp32", "checkpoint_every": 1000},
    }
    assert run(sft) == 0
    ours: dict[str, Any] = {
        "kind": "ppo",
        "model": {"path": str(tmp_path / "sft" / "model")},
        "data": {"train": [{"path": str(prompts)}], "template": TEMPLATE, "max_length": 100},
        "optim": {"lr": 1e-3, "global_batch": 200, "micro_tokens": 3300, "updates": 80, "betas": [0.9, 0.95]},
        "ppo": {"rewards": {"right": "exact"}, "advantage": "leave-one-out", "answers": 8, "batch": 200,
                "max_new_tokens": 4, "beta": 0.02},
        "run": {"output": str(tmp_path / "rl"), "precision": "fp32", "checkpoint_every": 1000},
    }  # fmt: skip
    assert run(ours) == 0
    right = [line["reward"] for line in metrics(ours) if "reward" in line]  # of 200 answers to all 25 sums
    print(f"right before {right[0]:.3f}, then {np.round(right[::8], 2).tolist()}, at the end {right[-1]:.3f}")
    assert AutoTokenizer.from_pretrained(tmp_path / "rl" / "model").chat_template
    assert right[0] < 0.3 and right[-1] > 0.8
