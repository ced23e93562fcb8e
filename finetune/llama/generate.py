"""Generation with a key-value cache, many prompts of different lengths at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from finetune.llama.attention import Documents
from finetune.llama.cache import Cache
from finetune.llama.model import Llama


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen.

    Attributes:
        max_new_tokens: most tokens of one answer.
        temperature: divides the logits; 0 takes the most likely token.
        top_p: smallest set of most likely tokens with at least this mass (Holtzman et al. 2020, section 3.1).
        stop: strings that end an answer, wherever token boundaries fall; not part of it.
    """

    max_new_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class Generated:
    """One answer.

    Attributes:
        ids: the new tokens, the end-of-turn token not included.
        text: what they say, cut before a stop string.
        finish_reason: `stop` or `length`.
    """

    ids: list[int]
    text: str
    finish_reason: Literal["stop", "length"]


@torch.inference_mode()
def generate(
    model: Llama,
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[int],
    tokenizer: Any,
    end_ids: Sequence[int],
    sampling: Sampling,
) -> list[Generated]:
    """Answer prompts together; each answer is what it would be alone.

    Args:
        model: in any dtype, on any device.
        prompts: token ids, each at least one and shorter than the model's context.
        seeds: of the random choices, one a prompt.
        tokenizer: decodes the answers.
        end_ids: tokens that end an answer (end of sequence, end of turn).
        sampling: the same for all prompts.
    """
    device = next(model.parameters()).device
    config = model.config
    budgets = [min(sampling.max_new_tokens, config.max_position_embeddings - len(prompt)) for prompt in prompts]
    capacity = max(len(prompt) + budget for prompt, budget in zip(prompts, budgets, strict=True))
    cache = Cache(
        config.num_hidden_layers,
        len(prompts),
        capacity,
        config.kv_heads,
        config.head_size,
        model.lm_head.weight.dtype,
        str(device),
    )
    generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]
    answers: list[list[int]] = [[] for _ in prompts]
    finished: list[Literal["stop", "length"]] = ["length"] * len(prompts)
    alive = list(range(len(prompts)))
    logits_BV = _read_prompts(model, prompts, cache, device)
    for _ in range(max(budgets)):
        chosen = _choose(logits_BV, sampling, [generators[index] for index in alive])
        going = []
        for row, (index, token) in enumerate(zip(alive, chosen.tolist(), strict=True)):
            if token in end_ids:
                finished[index] = "stop"
                continue
            answers[index].append(token)
            if sampling.stop and _stop_place(tokenizer.decode(answers[index]), sampling.stop) is not None:
                finished[index] = "stop"
            elif len(answers[index]) < budgets[index]:
                going.append(row)
        if not going:
            break
        rows = torch.tensor(going, device=device)
        if len(going) < len(alive):
            cache.keep(rows)
            alive = [alive[row] for row in going]
        logits_BV = model(chosen[rows], cache.lengths, Documents.from_lengths([1] * len(going), device), cache=cache)
        cache.advance(torch.ones_like(cache.lengths))
    return [_finish(tokenizer, *answer, sampling.stop) for answer in zip(answers, finished, strict=True)]


def _read_prompts(model: Llama, prompts: Sequence[Sequence[int]], cache: Cache, device: torch.device) -> Tensor:
    """Fill the cache with the prompts; return the (B, V) logits after each."""
    lengths = [len(prompt) for prompt in prompts]
    ids_T = torch.tensor([token for prompt in prompts for token in prompt], device=device)
    positions_T = torch.cat([torch.arange(length, device=device) for length in lengths])
    last_B = torch.tensor(lengths, device=device).cumsum(0) - 1
    logits_BV: Tensor = model(
        ids_T,
        positions_T,
        Documents.from_lengths(lengths, device),
        head=lambda hidden_TD, lm_head: lm_head(hidden_TD[last_B]),
        cache=cache,
    )
    cache.advance(torch.tensor(lengths, device=device))
    return logits_BV


def _choose(logits_BV: Tensor, sampling: Sampling, generators: list[torch.Generator]) -> Tensor:
    """One token for each row."""
    if sampling.temperature == 0:
        return logits_BV.argmax(-1)
    chances_BV = torch.softmax(logits_BV.float() / sampling.temperature, dim=-1)
    if sampling.top_p < 1:
        sorted_BV, order_BV = chances_BV.sort(descending=True, dim=-1)
        before_BV = sorted_BV.cumsum(-1) - sorted_BV
        kept_BV = sorted_BV.masked_fill(before_BV >= sampling.top_p, 0.0)
        chances_BV = torch.zeros_like(chances_BV).scatter(-1, order_BV, kept_BV)
    picks = [torch.multinomial(row, 1, generator=g) for row, g in zip(chances_BV, generators, strict=True)]
    return torch.cat(picks)


def _stop_place(text: str, stop: tuple[str, ...]) -> int | None:
    """Where the first stop string begins, or None."""
    return min((place for place in map(text.find, stop) if place >= 0), default=None)


def _finish(tokenizer: Any, ids: list[int], reason: Literal["stop", "length"], stop: tuple[str, ...]) -> Generated:
    text = tokenizer.decode(ids, skip_special_tokens=True)
    return Generated(ids, text[: _stop_place(text, stop)], reason)
