"""Who writes the answers: what all samplers are, and the policy itself, on the one decoder."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from finetune.engine.adapter import add_adapter
from finetune.engine.worker import Worker
from finetune.folders import weights
from finetune.generate.decode import Generated, PromptJob, answer_jobs
from finetune.generate.decoder import Decoder
from finetune.generate.sampling import Sampling
from finetune.generate.slots import round_up
from finetune.llama.model import Llama
from finetune.ppo.rollouts import SampledText
from finetune.recipe import PpoRecipe

AT_ONCE = 256  # answers written at the same time, if there is room for them:
ROOM = 16_384  # tokens in the cache of keys and values (8.6 GB of a 7B in bfloat16), unless one answer needs more


class PolicySampler(Protocol):
    """Writes answers of the policy, and says how likely it thinks each of their tokens.

    Attributes:
        tokenizer: of the policy.
    """

    @property
    def tokenizer(self) -> Any: ...

    def refresh(self) -> None:
        """Take over the policy's weights; every process must call it.

        Raises:
            UserError: on every process, they could not be taken over.
        """
        ...

    def write(self, prompts: Sequence[Sequence[int]], seeds: Sequence[int]) -> list[SampledText]:
        """An answer to each prompt, with a seed of its own.

        Raises:
            UserError: on this process, they could not be written.
        """
        ...


class NativeSampler:
    """Samples from the policy as it is, at temperature 1 from the whole vocabulary.

    Where the weights are cut over processes, each puts the whole of them together, once an iteration: decoding gathers
    them for every token otherwise, which LLaMA 2 found 20 times as slow (Touvron et al. 2023b, section 3.2.3).

    Args:
        worker: the policy.
        recipe: of the run.
        tokenizer: decodes the answers.
        end_ids: tokens that end an answer.
    """

    def __init__(self, worker: Worker, recipe: PpoRecipe, tokenizer: Any, end_ids: Sequence[int]) -> None:
        self._worker, self._recipe, self.tokenizer, self._end_ids = worker, recipe, tokenizer, end_ids
        self._whole = self._empty_copy() if worker.sharding == "fsdp2" else None
        self._sampling = Sampling(recipe.ppo.max_new_tokens, temperature=1.0, top_logprobs=0)

    def refresh(self) -> None:
        """Take over the policy's weights; every process must call it."""
        if self._whole is None:
            return
        with torch.no_grad():
            pairs = zip(self._whole.named_parameters(), self._worker.unwrapped.named_parameters(), strict=True)
            for (name, mine), (theirs, weight) in pairs:
                assert name == theirs
                mine.copy_(weight.full_tensor() if isinstance(weight, DTensor) else weight)

    def write(self, prompts: Sequence[Sequence[int]], seeds: Sequence[int]) -> list[SampledText]:
        """An answer to each prompt, with a seed of its own."""
        model = self._worker.unwrapped if self._whole is None else self._whole
        longest = min(max(map(len, prompts), default=1) + self._sampling.max_new_tokens, model.config.context)
        decoder = Decoder[PromptJob](
            model,
            None,  # ids are what is learned from; texts are decoded whole, once
            self._end_ids,
            AT_ONCE,
            max(ROOM, round_up(longest)),
            call=self._call,
            device=self._worker.accelerator.device,
        )
        jobs = [PromptJob(list(prompt), seed, self._sampling) for prompt, seed in zip(prompts, seeds, strict=True)]
        self._worker.model.eval()
        try:
            return [sampled_text(answer, self.tokenizer) for answer in answer_jobs(decoder, jobs)]
        finally:
            self._worker.model.train()

    def _call(self, *args: Any, **options: Any) -> Tensor:
        """The model in the precision that it is trained in."""
        model = self._worker.unwrapped if self._whole is None else self._whole
        with torch.autocast(self._worker.accelerator.device.type, torch.bfloat16, enabled=self._worker.autocast):
            out: Tensor = model(*args, **options)
        return out

    def _empty_copy(self) -> Llama:
        """A model with the policy's modules, whole, in the type that the policy computes in."""
        recipe = self._recipe
        dtype = torch.float32 if recipe.run.precision == "fp32" else torch.bfloat16
        copy = weights.load_without_storage(recipe.model.path, dtype)
        if recipe.adapter.kind != "none":
            add_adapter(copy, recipe.adapter, recipe.model.path, recipe.run.seed, widen=False)
        copy.to_empty(device=self._worker.accelerator.device)
        if copy.config.tie_word_embeddings:
            copy.lm_head.weight = copy.model.embed_tokens.weight
        return copy.to(dtype).requires_grad_(False).eval()


def sampled_text(answer: Generated, tokenizer: Any) -> SampledText:
    """An answer with its end token, and what it says."""
    text: str = tokenizer.decode(answer.ids, skip_special_tokens=True)
    tokens = list(zip(answer.ids, answer.logprobs, strict=True))
    if answer.end_token is not None:
        assert answer.end_token.logprobs is not None
        tokens.append((answer.end_token.id, answer.end_token.logprobs))
    ids = tuple(token for token, _ in tokens)
    log_probs = tuple(logprobs[token] for token, logprobs in tokens)
    return SampledText(ids, text.strip(), answer.end_token is not None, log_probs)
