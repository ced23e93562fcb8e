"""Prompts in, whole answers out, on the decoder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from finetune.generate.chunk import ChosenToken, Chunk, FinishReason, merge_chunks
from finetune.generate.decoder import Decoder
from finetune.generate.low_rank import LowRankAdapter
from finetune.generate.sampling import Sampling
from finetune.generate.slots import round_up
from finetune.llama.model import Llama


@dataclass(eq=False)
class PromptJob:
    """See `DecoderJob`."""

    prompt: list[int]
    seed: int
    sampling: Sampling
    cancelled: bool = False
    adapter: LowRankAdapter | None = None


@dataclass(frozen=True)
class Generated:
    """One answer.

    Attributes:
        ids: the new tokens, the end-of-turn token not included.
        text: what they say, cut before a stop string.
        finish_reason: `stop` or `length`.
        logprobs: for each of `ids` what `Sampling.top_logprobs` asks for, by token id: natural logarithms of the
            model's own probabilities, before temperature and all else. Empty if it asks for none.
        end_token: the token that ended it, with its log-probabilities; None if none did.
    """

    ids: list[int]
    text: str
    finish_reason: FinishReason
    logprobs: list[dict[int, float]] = field(default_factory=list)
    end_token: ChosenToken | None = None

    @staticmethod
    def from_chunks(chunks: Sequence[Chunk]) -> "Generated":
        """The answer that was written in these pieces."""
        whole = merge_chunks(chunks)
        assert whole.end in ("stop", "length"), whole.end
        ids = [token.id for token in whole.tokens]
        logprobs = [token.logprobs for token in whole.tokens if token.logprobs is not None]
        return Generated(ids, whole.text, whole.end, logprobs, whole.end_token)


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
        model: in any dtype, on any device, whole.
        prompts: token ids, each at least one and shorter than the model's context.
        seeds: of the random choices, one a prompt.
        tokenizer: decodes the answers.
        end_ids: tokens that end an answer (end of sequence, end of turn).
        sampling: the same for all prompts.
    """
    jobs = [PromptJob(list(prompt), seed, sampling) for prompt, seed in zip(prompts, seeds, strict=True)]
    longest = max((len(prompt) for prompt in prompts), default=0) + sampling.max_new_tokens
    most_tokens = len(jobs) * round_up(min(longest, model.config.context))
    decoder = Decoder[PromptJob](model, tokenizer, end_ids, len(jobs), most_tokens)
    return answer_jobs(decoder, jobs)


def answer_jobs(
    decoder: Decoder[PromptJob], jobs: Sequence[PromptJob], anywhere: Callable[[bool], bool] | None = None
) -> list[Generated]:
    """Run a decoder until all jobs are answered, in their order.

    Args:
        decoder: with nothing else to do.
        jobs: this process's. Tensor-parallel processes hold parts of the same answers, so they get the same jobs.
        anywhere: where each pass gathers other processes' weights (`fully_shard`): whether any process is busy, told
            whether this one is. All then step together; one that has no job left makes its passes all the same.
    """
    chunks: dict[int, list[Chunk]] = {id(job): [] for job in jobs}
    decoder.add(jobs)
    while decoder.busy if anywhere is None else anywhere(decoder.busy):
        if decoder.busy:
            for job, chunk in decoder.step():
                chunks[id(job)].append(chunk)
        else:
            decoder.idle()
    return [Generated.from_chunks(chunks[id(job)]) for job in jobs]
