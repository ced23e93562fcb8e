"""Generation with a key-value cache, many prompts of different lengths at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from finetune.generate.text_stream import TextStream
from finetune.llama.attention import Documents
from finetune.llama.cache import Cache, KeyValues
from finetune.llama.model import Llama

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen; the steps apply in this order, as in transformers.

    Attributes:
        max_new_tokens: most tokens of one answer.
        repetition_penalty: divides the logits of tokens that have already appeared, in prompt or answer, where
            positive, and multiplies them where negative (Keskar et al. 2019, CTRL, section 4.1); 1 = off.
        temperature: divides the logits; 0 takes the most likely token.
        top_k: only so many of the most likely tokens; 0 = all.
        top_p: smallest set of most likely tokens with at least this mass (Holtzman et al. 2020, section 3.1).
        stop: strings that end an answer, wherever token boundaries fall; not part of it.
        top_logprobs: report the log-probability of each chosen token and of so many likeliest ones; None reports none.
    """

    max_new_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    top_k: int = 0
    repetition_penalty: float = 1.0
    top_logprobs: int | None = None


@dataclass(frozen=True)
class Generated:
    """One answer.

    Attributes:
        ids: the new tokens, the end-of-turn token not included.
        text: what they say, cut before a stop string.
        finish_reason: `stop` or `length`.
        logprobs: for each of `ids` what `Sampling.top_logprobs` asks for, by token id: natural logarithms of the
            model's own probabilities, before temperature and all else. Empty if it asks for none.
    """

    ids: list[int]
    text: str
    finish_reason: FinishReason
    logprobs: list[dict[int, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Piece:
    """A step of one answer, for display while it is written.

    Attributes:
        index: which prompt it answers.
        ids: the new tokens; none with the end-of-turn token.
        text: what can be shown by now, possibly nothing.
        finish_reason: set with the last piece.
        logprobs: as in `Generated`.
    """

    index: int
    ids: list[int]
    text: str
    finish_reason: FinishReason | None
    logprobs: list[dict[int, float]]


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
    ids: list[list[int]] = [[] for _ in prompts]
    texts: list[list[str]] = [[] for _ in prompts]
    reasons: list[FinishReason] = ["length"] * len(prompts)
    logprobs: list[list[dict[int, float]]] = [[] for _ in prompts]
    for piece in stream(model, prompts, seeds, tokenizer, end_ids, sampling):
        ids[piece.index] += piece.ids
        texts[piece.index].append(piece.text)
        reasons[piece.index] = piece.finish_reason or "length"
        logprobs[piece.index] += piece.logprobs
    answers = zip(ids, map("".join, texts), reasons, logprobs, strict=True)
    return [Generated(*answer) for answer in answers]


@torch.inference_mode()
def stream(
    model: Llama,
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[int],
    tokenizer: Any,
    end_ids: Sequence[int],
    sampling: Sampling,
) -> Iterator[Piece]:
    """`generate`, piece by piece: one for each prompt that is still being answered, step after step."""
    device = next(model.parameters()).device
    config = model.config
    budgets = [min(sampling.max_new_tokens, config.context - len(prompt)) for prompt in prompts]
    cache = Cache(
        config.num_hidden_layers,
        len(prompts),
        max(len(prompt) + budget for prompt, budget in zip(prompts, budgets, strict=True)),
        config.kv_heads,
        config.head_size,
        model.lm_head.weight.dtype,
        str(device),
    )
    chooser = Chooser(sampling, prompts, seeds, config.vocab_size, device)
    texts = [TextStream(tokenizer, sampling.stop) for _ in prompts]
    written = [0] * len(prompts)
    alive = list(range(len(prompts)))
    logits_BV = read_prompts(model, prompts, cache, device)
    while alive:
        chosen_B = chooser.choose(logits_BV)
        logprobs = top_logprobs(logits_BV, chosen_B, sampling.top_logprobs)
        going = []
        for row, (index, token) in enumerate(zip(alive, chosen_B.tolist(), strict=True)):
            if token in end_ids:
                yield Piece(index, [], texts[index].finish(), "stop", [])
                continue
            text = texts[index].add(token)
            reason: FinishReason | None = None
            written[index] += 1
            if texts[index].stopped:
                reason = "stop"
            elif written[index] == budgets[index]:
                text += texts[index].finish()
                reason = "stop" if texts[index].stopped else "length"
            else:
                going.append(row)
            yield Piece(index, [token], text, reason, logprobs[row : row + 1])
        rows = torch.tensor(going, dtype=torch.long, device=device)
        if len(going) < len(alive):
            cache.keep(rows)
            chooser.keep(going)
            alive = [alive[row] for row in going]
        if alive:
            documents = Documents.from_lengths([1] * len(going), device)
            logits_BV = model(chosen_B[rows], cache.lengths, documents, cache=cache)
            cache.advance(torch.ones_like(cache.lengths))


def read_prompts(model: Llama, prompts: Sequence[Sequence[int]], cache: KeyValues, device: torch.device) -> Tensor:
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


class Chooser:
    """Chooses the next token of each of B answers, with a random source for each."""

    def __init__(
        self,
        sampling: Sampling,
        prompts: Sequence[Sequence[int]],
        seeds: Sequence[int],
        vocab_size: int,
        device: torch.device,
    ) -> None:
        self._sampling = sampling
        self._generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]
        self._seen_BV: Tensor | None = None
        if sampling.repetition_penalty != 1:
            self._seen_BV = torch.zeros(len(prompts), vocab_size, dtype=torch.bool, device=device)
            for row, prompt in enumerate(prompts):
                self._seen_BV[row, list(prompt)] = True

    def choose(self, logits_BV: Tensor) -> Tensor:
        """Return (B,) token ids."""
        sampling = self._sampling
        logits_BV = self.penalise(logits_BV)
        if sampling.temperature == 0:
            chosen_B = logits_BV.argmax(-1)
        else:
            chances_BV = token_probabilities(logits_BV, sampling)
            pairs = zip(chances_BV, self._generators, strict=True)
            chosen_B = torch.cat([torch.multinomial(row, 1, generator=generator) for row, generator in pairs])
        if self._seen_BV is not None:
            self._seen_BV[torch.arange(len(chosen_B), device=chosen_B.device), chosen_B] = True
        return chosen_B

    def penalise(self, logits_BV: Tensor) -> Tensor:
        """The logits with the repetition penalty."""
        if self._seen_BV is None:
            return logits_BV
        return apply_repetition_penalty(logits_BV, self._seen_BV, self._sampling.repetition_penalty)

    def keep(self, rows: list[int]) -> None:
        """Drop all answers but these."""
        self._generators = [self._generators[row] for row in rows]
        if self._seen_BV is not None:
            self._seen_BV = self._seen_BV[rows]


def apply_repetition_penalty(logits_BV: Tensor, seen_BV: Tensor, penalty: float) -> Tensor:
    """The logits with a repetition penalty on the tokens that were seen."""
    lowered_BV = torch.where(logits_BV > 0, logits_BV / penalty, logits_BV * penalty)
    return torch.where(seen_BV, lowered_BV, logits_BV)


def token_probabilities(logits_BV: Tensor, sampling: Sampling) -> Tensor:
    """The distribution that is drawn from, not normalised after top-p."""
    scaled_BV = logits_BV.float() / sampling.temperature
    if 0 < sampling.top_k < scaled_BV.shape[-1]:
        lowest_B1 = scaled_BV.topk(sampling.top_k, dim=-1).values[:, -1:]
        scaled_BV = scaled_BV.masked_fill(scaled_BV < lowest_B1, float("-inf"))
    chances_BV = torch.softmax(scaled_BV, dim=-1)
    if sampling.top_p < 1:
        sorted_BV, order_BV = chances_BV.sort(descending=True, dim=-1)
        before_BV = sorted_BV.cumsum(-1) - sorted_BV
        kept_BV = sorted_BV.masked_fill(before_BV >= sampling.top_p, 0.0)
        chances_BV = torch.zeros_like(chances_BV).scatter(-1, order_BV, kept_BV)
    return chances_BV


def top_logprobs(logits_BV: Tensor, chosen_B: Tensor, count: int | None) -> list[dict[int, float]]:
    """For each row, log-probabilities of the chosen token and the `count` likeliest; nothing for None."""
    if count is None:
        return []
    logprobs_BV = torch.log_softmax(logits_BV.float(), dim=-1)
    top = logprobs_BV.topk(min(count, logprobs_BV.shape[-1]), dim=-1)
    own_B = logprobs_BV.gather(-1, chosen_B[:, None])[:, 0]
    rows = zip(top.indices.tolist(), top.values.tolist(), chosen_B.tolist(), own_B.tolist(), strict=True)
    return [{**dict(zip(ids, values, strict=True)), token: own} for ids, values, token, own in rows]
