"""A world whose best policy is known: any word of 16, up to eight of them, each worth something of its own.

The model that training starts from says every token with the same probability, so the best policy is in closed form: by
word proportional to exp(value / beta), longer answers weighted by what may still come. `exact` computes it.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from conversations.tokens.template import get_template
from finetune.folders import weights
from finetune.llama.config import LlamaConfig

TEMPLATE, LONGEST = "vicuna_v1.1", 8
WORDS = [f"w{number}" for number in range(16)]
SAID = ["USER:", "ASSISTANT:", "?"]  # what prompts are made of besides
VALUES = np.random.default_rng(7).normal(0.0, 0.5, len(WORDS))
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Exact:
    """What is true of the policy proportional to the start's times exp(reward / beta).

    Attributes:
        best: reward less beta times nats from the start, the most that any policy has.
        reward, gold: mean worth of an answer, by the reward that is trained on and by another.
        kl: nats an answer from the start.
    """

    best: float
    reward: float
    gold: float
    kl: float


def exact(values: Doubles, gold: Doubles, beta: float, others: int, ends: int) -> Exact:
    """By dynamic programming over the places of an answer.

    Args:
        values: worth of each word.
        gold: the same, of another reward.
        beta: cost of a nat.
        others: tokens that are worth nothing and go on.
        ends: tokens that end an answer.
    """
    vocabulary = values.size + others + ends
    worth, real = (np.concatenate([each, np.zeros(others)]) for each in (values, gold))
    log_mass = reward = true = 0.0  # of what may still come
    for _ in range(LONGEST):
        logs = np.concatenate([worth / beta + log_mass, np.zeros(ends)]) - np.log(vocabulary)
        total = np.logaddexp.reduce(logs)
        chances = np.exp(logs - total)
        goes_on = chances[: worth.size]
        reward, true = goes_on @ (worth + reward), goes_on @ (real + true)
        log_mass = float(total)
    best = beta * log_mass
    return Exact(best, float(reward), float(true), float(reward / beta - log_mass))


def write_world(folder: Path, uniform: bool = True, prompts: int = 64, width: int = 32) -> dict[str, Path]:
    """The model, its prompts, and `worth.py` with the functions `reward` and `overrated`.

    Args:
        folder: where.
        uniform: whether the model says every token with the same probability; else it is a random one, whose gradients
            are large enough everywhere to be compared after Adam has divided them by their size.
        prompts: how many.
        width: of the model.
    """
    template = get_template(TEMPLATE)
    special = ["<unk>", "<s>", *template.stop]
    ids = {word: number for number, word in enumerate([*special, *SAID, *WORDS])}
    core = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, unk_token="<unk>", bos_token="<s>", eos_token=template.stop[0], pad_token="<unk>"
    )
    tokenizer.chat_template = template.jinja
    config = LlamaConfig(
        vocab_size=len(ids), hidden_size=width, intermediate_size=2 * width, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=128, initializer_range=0.2,
        bos_token_id=ids["<s>"], eos_token_id=ids[template.stop[0]],
    )  # fmt: skip
    state = weights.init_model(config, seed=0).state_dict()
    if uniform:
        state["lm_head.weight"].zero_()
    weights.save_model(state, config, folder / "start")
    tokenizer.save_pretrained(folder / "start")
    lines = [
        {"id": f"p{number}", "messages": [{"role": "user", "content": f"{WORDS[number % 16]} {WORDS[number // 16]} ?"}]}
        for number in range(prompts)
    ]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    of = dict(zip(WORDS, VALUES.tolist(), strict=True))
    (folder / "worth.py").write_text(
        f"OF = {of!r}\n\n\ndef reward(prompt, answer, meta):\n"
        "    return sum(OF.get(word, 0.0) for word in answer.split())\n"
        "\n\ndef overrated(prompt, answer, meta):\n    return reward(prompt, answer, meta) + "
        f"{OVERRATED} * answer.split().count({WORST!r})\n"
    )
    return {"model": folder / "start", "prompts": folder / "prompts.jsonl", "worth": folder / "worth.py"}


OVERRATED = 2.0  # what the reward thinks that the worst word is worth besides
WORST = WORDS[int(VALUES.argmin())]
PROXY = VALUES + OVERRATED * (np.arange(len(WORDS)) == VALUES.argmin())
OTHERS, ENDS = 5, 1  # of the vocabulary: <unk>, <s> and what prompts say; </s>


def recipe_of(world: dict[str, Path], output: Path, **ppo: Any) -> dict[str, Any]:
    """RLOO or PPO in that world."""
    return {
        "kind": "ppo",
        "model": {"path": str(world["model"])},
        "data": {"train": [{"path": str(world["prompts"])}], "template": TEMPLATE, "max_length": 32},
        "optim": {"lr": 3e-3, "global_batch": 64, "micro_tokens": 4096, "updates": 100, "betas": [0.9, 0.95]},
        "run": {"output": str(output), "precision": "fp32", "checkpoint_every": 10_000, "evaluate_every": 10_000},
        "ppo": {
            "rewards": {"worth": f"{world['worth']}:reward"},
            "batch": 128,
            "max_new_tokens": LONGEST,
            "beta": 0.5,
            **ppo,
        },
    }


def interval(values: Doubles) -> tuple[float, float]:
    """Mean and half of its 95% interval."""
    return float(values.mean()), float(1.96 * values.std(ddof=1) / np.sqrt(values.size))


def log_probs(folder: Path, prompts: list[list[int]], answers: list[list[int]]) -> Doubles:
    """Of whole answers, nats, by plain transformers."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    found = []
    with torch.no_grad():
        for prompt, answer in zip(prompts, answers, strict=True):
            logits = model(torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1]
            found.append(float(logits.log_softmax(-1).gather(1, torch.tensor(answer)[:, None]).sum()))
    return np.array(found)
