"""How the next token of an answer is chosen.

Shapes: B answers, V vocabulary, in R blocks of S tokens.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from finetune.generate.grammar import Grammar, forbid

Noise = Callable[[Tensor], object]  # fills a row, on a CPU of float64


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen; the steps apply in this order, as in transformers.

    Attributes:
        max_new_tokens: most tokens of one answer.
        repetition_penalty: divides the logits of tokens that have already appeared, in prompt or answer, where
            positive, and multiplies them where negative (Keskar et al. 2019, CTRL, section 4.1); 1 = off.
        presence_penalty: is taken from the logits of tokens that the answer has already.
        frequency_penalty: the same for each time that it has them (OpenAI API reference, chat completions).
        temperature: divides the logits; 0 takes the most likely token.
        top_k: only so many of the most likely tokens; 0 = all.
        top_p: smallest set of most likely tokens with at least this mass (Holtzman et al. 2020, section 3.1).
        grammar: what the answer keeps to; it ends where nothing more may come.
        min_p: only tokens at least so many times as likely as the likeliest one (Nguyen et al. 2024, section 3).
        stop: strings that end an answer, wherever token boundaries fall; not part of it.
        after: ordinary tokens that the answer's text goes on from. Decoded before its own, they keep SentencePiece's
            decoder from leaving out a first blank; none where the answer is a text of its own.
        top_logprobs: report the log-probability of each chosen token and of so many likeliest ones; None reports none.
        prompt_logprobs: the same of each token of the prompt.
    """

    max_new_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    top_k: int = 0
    repetition_penalty: float = 1.0
    top_logprobs: int | None = None
    after: tuple[int, ...] = ()
    prompt_logprobs: int | None = None
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    grammar: Grammar | None = None


class SamplingState:
    """What choosing the tokens of one answer remembers: its random source, and what it has seen.

    Args:
        sampling: how to choose.
        prompt: token ids, which a repetition penalty counts.
        seed: of the random source, which is this answer's own: its tokens depend on no other answer.
        vocab_size: V.
        device: of the logits.
    """

    def __init__(
        self, sampling: Sampling, prompt: Sequence[int], seed: int, vocab_size: int, device: torch.device
    ) -> None:
        self.sampling = sampling
        self.noise = exponential_noise(seed, device)
        self.seen_1V: Tensor | None = None
        if sampling.repetition_penalty != 1:
            self.seen_1V = torch.zeros(1, vocab_size, dtype=torch.bool, device=device)
            self.seen_1V[0, list(prompt)] = True
        self.counts_V: Tensor | None = None  # how often the answer has each token
        if sampling.presence_penalty or sampling.frequency_penalty:
            self.counts_V = torch.zeros(vocab_size, device=device)

        self.matcher = None if sampling.grammar is None else sampling.grammar.matcher()
        self.failed = False  # the grammar has become too large to go on with

    @property
    def complete(self) -> bool:
        """Whether the grammar lets nothing more come."""
        return self.matcher is not None and not self.failed and bool(self.matcher.is_stopped())

    @property
    def penalised(self) -> bool:
        """Whether what was written changes what is likely."""
        return self.seen_1V is not None or self.counts_V is not None

    def take(self, token: int) -> None:
        """Remember the next token of the answer."""
        if self.seen_1V is not None:
            self.seen_1V[0, token] = True
        if self.counts_V is not None:
            self.counts_V[token] += 1
        if self.matcher is not None and not self.matcher.consume_token(token):
            self.failed = True


def choose_tokens(logits_BV: Tensor, states: Sequence[SamplingState]) -> list[int]:
    """The next token of each answer, with its own sampling and random source."""
    logits_BV = forbid(penalise(logits_BV, states), [state.matcher for state in states])
    rows_of: dict[tuple[float, float, int, float], list[int]] = {}
    for row, state in enumerate(states):
        sampling = state.sampling
        alike = (sampling.temperature, sampling.top_p, sampling.top_k, sampling.min_p)
        rows_of.setdefault(alike, []).append(row)
    chosen_B = torch.zeros(len(states), dtype=torch.long, device=logits_BV.device)
    for (temperature, *_), rows in rows_of.items():
        alike_BV = logits_BV if len(rows) == len(states) else logits_BV[rows]
        if temperature == 0:
            chosen_B[rows] = alike_BV.argmax(-1)
            continue
        chances_BV = token_probabilities(alike_BV, states[rows[0]].sampling)
        chosen_B[rows] = draw(chances_BV, [states[row].noise for row in rows])
    tokens: list[int] = chosen_B.tolist()
    for state, token in zip(states, tokens, strict=True):
        state.take(token)
    return tokens


def exponential_noise(seed: int, device: torch.device) -> Noise:
    """What fills rows with exponential noise. On a CPU it is numpy's, which takes a fifth of the time of torch's; in
    float64, for in float32 one number in 2^23 is 0, which is the shortest time of all, however unlikely its token."""
    if device.type != "cpu":
        generator = torch.Generator(device).manual_seed(seed)
        return lambda noise_V: noise_V.exponential_(1.0, generator=generator)
    random = np.random.default_rng(seed % 2**64)
    return lambda noise_V: random.standard_exponential(out=noise_V.numpy())


def draw(chances_BV: Tensor, noises: Sequence[Noise]) -> Tensor:
    """(B,) a token of each row by its chances, which need not be normalised, from a random source of its own.

    The largest of chance / exponential noise falls on a token in proportion to its chance (the Gumbel-max trick, Gumbel
    1954, as an exponential race). Blocks of tokens race first, by their sums, then the tokens of the block that won:
    about 2 sqrt(V) random numbers in place of V. Where the last bits of chances differ, as they do with what else is in
    the batch, nearly always the same token wins; the inverse of the distribution function would move at each of its V
    steps.
    """
    size = 1 << chances_BV.shape[-1].bit_length() // 2  # about sqrt(V), and it divides most vocabularies
    blocks_BRS = pad(chances_BV, (0, -chances_BV.shape[-1] % size)).reshape(len(noises), -1, size)
    races = list(blocks_BRS.shape[1:])
    noise_BN = chances_BV.new_empty(len(noises), sum(races), dtype=torch.float64 if chances_BV.is_cpu else None)
    for noise_N, noise in zip(noise_BN, noises, strict=True):
        noise(noise_N)
    noise_BR, noise_BS = torch.split(noise_BN, races, dim=-1)
    block_B = (blocks_BRS.sum(-1) / noise_BR).argmax(-1)
    chances_BS = blocks_BRS[torch.arange(len(block_B), device=block_B.device), block_B]
    return block_B * size + (chances_BS / noise_BS).argmax(-1)


def penalise(logits_BV: Tensor, states: Sequence[SamplingState]) -> Tensor:
    """The logits with each answer's penalties."""
    if not any(state.penalised for state in states):
        return logits_BV
    logits_BV = logits_BV.clone()
    for row, state in enumerate(states):
        sampling = state.sampling
        if state.seen_1V is not None:
            penalty = sampling.repetition_penalty
            logits_BV[row] = apply_repetition_penalty(logits_BV[row, None], state.seen_1V, penalty)[0]
        if state.counts_V is not None:
            logits_BV[row] -= sampling.frequency_penalty * state.counts_V
            logits_BV[row] -= sampling.presence_penalty * (state.counts_V > 0)
    return logits_BV


def apply_repetition_penalty(logits_BV: Tensor, seen_BV: Tensor, penalty: float) -> Tensor:
    """The logits with a repetition penalty on the tokens that were seen."""
    lowered_BV = torch.where(logits_BV > 0, logits_BV / penalty, logits_BV * penalty)
    return torch.where(seen_BV, lowered_BV, logits_BV)


def token_probabilities(logits_BV: Tensor, sampling: Sampling) -> Tensor:
    """The distribution that is drawn from, not normalised after top-p."""
    scaled_BV = logits_BV.float()
    if sampling.temperature != 1:
        scaled_BV = scaled_BV / sampling.temperature
    if 0 < sampling.top_k < scaled_BV.shape[-1]:
        lowest_B1 = scaled_BV.topk(sampling.top_k, dim=-1).values[:, -1:]
        scaled_BV = scaled_BV.masked_fill(scaled_BV < lowest_B1, float("-inf"))
    chances_BV = torch.softmax(scaled_BV, dim=-1)
    if sampling.top_p < 1:
        sorted_BV, order_BV = chances_BV.sort(descending=True, dim=-1)
        before_BV = sorted_BV.cumsum(-1) - sorted_BV
        kept_BV = sorted_BV.masked_fill(before_BV >= sampling.top_p, 0.0)
        chances_BV = torch.zeros_like(chances_BV).scatter(-1, order_BV, kept_BV)
    if sampling.min_p > 0:
        likeliest_B1 = chances_BV.max(dim=-1, keepdim=True).values
        chances_BV = chances_BV.masked_fill(chances_BV < sampling.min_p * likeliest_B1, 0.0)
    return chances_BV


def top_logprobs(
    logits_BV: Tensor, chosen: Sequence[int], states: Sequence[SamplingState]
) -> list[dict[int, float] | None]:
    """What each answer's `Sampling.top_logprobs` asks for, by token id, likeliest first; None where it asks nothing.

    Natural logarithms of the model's own probabilities, before temperature and all else.
    """
    found: list[dict[int, float] | None] = [None] * len(states)
    wanted = ((row, state.sampling.top_logprobs) for row, state in enumerate(states))
    asking = {row: count for row, count in wanted if count is not None}
    if not asking:
        return found
    rows = list(asking)
    asked_RV = logits_BV if len(rows) == len(states) else logits_BV[rows]  # without a copy, if it is all
    described = token_logprobs(asked_RV, [chosen[row] for row in rows], list(asking.values()))
    for row, logprobs in zip(rows, described, strict=True):
        found[row] = logprobs
    return found


def token_logprobs(logits_RV: Tensor, tokens: Sequence[int], most: Sequence[int]) -> list[dict[int, float]]:
    """For each row of logits the natural logarithms of the probabilities of its likeliest tokens and of one more.

    Args:
        logits_RV: the model's own.
        tokens: of each row the one more.
        most: of each row, how many of the likeliest.

    Returns:
        By token id, likeliest first; `tokens` last where they are not among them.
    """
    logprobs_RV = torch.log_softmax(logits_RV.float(), dim=-1)
    top = logprobs_RV.topk(min(max(most), logprobs_RV.shape[-1]), dim=-1)
    tokens_R = torch.tensor(tokens, device=logits_RV.device)
    own_R = logprobs_RV.gather(-1, tokens_R[:, None])[:, 0]
    each = zip(top.indices.tolist(), top.values.tolist(), own_R.tolist(), tokens, most, strict=True)
    return [
        {**dict(zip(ids[:count], values[:count], strict=True)), token: own} for ids, values, own, token, count in each
    ]
