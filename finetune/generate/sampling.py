"""How the next token of an answer is chosen.

Shapes: B answers, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


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
        after: ordinary tokens that the answer's text goes on from. Decoded before its own, they keep SentencePiece's
            decoder from leaving out a first blank; none where the answer is a text of its own.
        top_logprobs: report the log-probability of each chosen token and of so many likeliest ones; None reports none.
    """

    max_new_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    top_k: int = 0
    repetition_penalty: float = 1.0
    top_logprobs: int | None = None
    after: tuple[int, ...] = ()


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
        self.generator = torch.Generator(device).manual_seed(seed)
        self.seen_1V: Tensor | None = None
        if sampling.repetition_penalty != 1:
            self.seen_1V = torch.zeros(1, vocab_size, dtype=torch.bool, device=device)
            self.seen_1V[0, list(prompt)] = True


def choose_tokens(logits_BV: Tensor, states: Sequence[SamplingState]) -> list[int]:
    """The next token of each answer, with its own sampling and random source."""
    logits_BV = penalise(logits_BV, states)
    rows_of: dict[tuple[float, float, int], list[int]] = {}
    for row, state in enumerate(states):
        sampling = state.sampling
        rows_of.setdefault((sampling.temperature, sampling.top_p, sampling.top_k), []).append(row)
    chosen_B = torch.zeros(len(states), dtype=torch.long, device=logits_BV.device)
    for (temperature, _, _), rows in rows_of.items():
        if temperature == 0:
            chosen_B[rows] = logits_BV[rows].argmax(-1)
            continue
        chances_BV = token_probabilities(logits_BV[rows], states[rows[0]].sampling)
        chosen_B[rows] = draw(chances_BV, [states[row].generator for row in rows])
    tokens: list[int] = chosen_B.tolist()
    for state, token in zip(states, tokens, strict=True):
        if state.seen_1V is not None:
            state.seen_1V[0, token] = True
    return tokens


def draw(chances_BV: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """(B,) a token of each row by its chances, which need not be normalised, from a random source of its own.

    The largest of chance / exponential noise falls on a token in proportion to its chance (the Gumbel-max trick, Gumbel
    1954, as an exponential race). `torch.multinomial` draws the same tokens so, a row at a time, and asks the device
    twice a row whether the chances are fine, which the host waits for.
    """
    noise_BV = torch.empty_like(chances_BV)
    for noise_V, generator in zip(noise_BV, generators, strict=True):
        noise_V.exponential_(1.0, generator=generator)
    return (chances_BV / noise_BV).argmax(-1)


def penalise(logits_BV: Tensor, states: Sequence[SamplingState]) -> Tensor:
    """The logits with each answer's repetition penalty."""
    if all(state.seen_1V is None for state in states):
        return logits_BV
    logits_BV = logits_BV.clone()
    for row, state in enumerate(states):
        if state.seen_1V is not None:
            penalty = state.sampling.repetition_penalty
            logits_BV[row] = apply_repetition_penalty(logits_BV[row, None], state.seen_1V, penalty)[0]
    return logits_BV


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
    logprobs_RV = torch.log_softmax(logits_BV[rows].float(), dim=-1)
    top = logprobs_RV.topk(min(max(asking.values()), logprobs_RV.shape[-1]), dim=-1)
    chosen_R = torch.tensor([chosen[row] for row in rows], device=logits_BV.device)
    own_R = logprobs_RV.gather(-1, chosen_R[:, None])[:, 0]
    each = zip(rows, top.indices.tolist(), top.values.tolist(), own_R.tolist(), strict=True)
    for row, ids, values, own in each:
        most = asking[row]
        found[row] = {**dict(zip(ids[:most], values[:most], strict=True)), chosen[row]: own}
    return found
