"""Preferences for tests, and what plain transformers in float64 says of them, one sequence at a time."""

import json
import random
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from tests.finetune.conftest import WORDS

TEMPLATE = "vicuna_v1.1"


def write_preferences(path: Path, pairs: int, longest: int = 20, seed: int = 1, last: int = 0) -> Path:
    """A file of pairs with chats of one to three questions, grades and labels; the last answers of `last` words."""
    rng = random.Random(seed)

    def words(count: int) -> str:
        return " ".join(rng.choices(WORDS, k=count))

    with path.open("w") as file:
        for number in range(pairs):
            prompt: list[dict[str, str]] = []
            for _ in range(rng.randint(0, 2)):
                prompt += [{"role": "user", "content": words(rng.randint(2, 9))}]
                prompt += [{"role": "assistant", "content": words(rng.randint(1, 9))}]
            prompt.append({"role": "user", "content": words(rng.randint(2, longest))})
            lengths = (last, last - 40) if last and number == pairs - 1 else (rng.randint(1, longest) for _ in "ab")
            chosen, rejected = (words(count) for count in lengths)
            record = {
                "id": f"pair-{number}",
                "prompt": prompt,
                "chosen": {"content": chosen},
                "rejected": {"content": rejected},
                "grade": rng.choice([None, 0, 1, 2, 3]),
                "safety": rng.choice([None, {"chosen": True, "rejected": False}, {"chosen": True, "rejected": True}]),
                "source": "human/test",
                "meta": {},
            }
            file.write(json.dumps(record) + "\n")
    return path


def write_labelled(path: Path, pairs: Path) -> Path:
    """The chosen and the rejected answers of alternate pairs as single answers with a label."""
    with path.open("w") as file:
        for number, record in enumerate(read(pairs)):
            wanted = number % 2 == 0
            answer = record["chosen" if wanted else "rejected"]
            file.write(json.dumps({**fields(record), "answer": answer, "label": wanted}) + "\n")
    return path


def fields(record: dict[str, Any]) -> dict[str, Any]:
    return {name: record[name] for name in ("id", "prompt", "source", "meta")}


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def move(model: Any, noise: float = 0.05) -> Any:
    """The same small step away from the reference for any model with these names."""
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            generator = torch.Generator().manual_seed(sum(map(ord, name)))
            weight += (noise * torch.randn(weight.shape, generator=generator, dtype=torch.float64)).to(weight.dtype)
    return model


@dataclass
class Answered:
    """One answer behind its prompt, as ids."""

    ids: Tensor
    prompt: int

    @property
    def tokens(self) -> int:
        return len(self.ids) - self.prompt


def tokenise(folder: Path, prompt: list[dict[str, str]], answer: str) -> Answered:
    """As transformers writes it with the tokenizer's own chat template, without what follows the end of turn."""
    from conversations.tokens.template import get_template

    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = get_template(TEMPLATE).jinja
    begun = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, tokenize=False)
    whole = tokenizer.apply_chat_template([*prompt, {"role": "assistant", "content": answer}], tokenize=False)
    ids = [tokenizer(text.rstrip(" "), add_special_tokens=False)["input_ids"] for text in (begun, whole)]
    assert ids[1][: len(ids[0])] == ids[0]
    return Answered(torch.tensor(ids[1]), len(ids[0]))


def log_prob(model: Any, answer: Answered) -> Tensor:
    """() of the answer's tokens, given the prompt."""
    logits = model(answer.ids[None]).logits[0, answer.prompt - 1 : -1]
    return logits.log_softmax(-1).gather(1, answer.ids[answer.prompt :, None]).sum()


def policy(folder: Path) -> Any:
    return move(reference(folder))


def reference(folder: Path) -> Any:
    return _in_float64(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64))


def scorer(folder: Path) -> Any:
    return _in_float64(AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float64))


def _in_float64(model: Any) -> Any:
    """transformers computes norms and angles in float32, whatever a model's type; here they are float64, too.

    Frequencies stay those of float32, which are what the model is.
    """
    for module in model.modules():
        if isinstance(module, LlamaRMSNorm):
            module.forward = partial(_norm, module)  # type: ignore[method-assign]
    model.model.rotary_emb.forward = partial(_angles, model.model.rotary_emb.inv_freq.float())
    return model


def _norm(module: Any, x: Tensor) -> Tensor:
    out: Tensor = module.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + module.variance_epsilon)
    return out


def _angles(frequencies: Tensor, x: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
    angles = position_ids[..., None].double() * frequencies.double()
    both = torch.cat((angles, angles), dim=-1)
    return both.cos(), both.sin()


def gradients(model: Any, value: Tensor) -> dict[str, Tensor]:
    """Of a number by every weight."""
    model.zero_grad()
    value.backward()  # type: ignore[no-untyped-call]
    return {name: weight.grad.clone() for name, weight in model.named_parameters()}
