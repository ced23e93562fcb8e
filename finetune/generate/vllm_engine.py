"""Answers by vLLM, where it is installed: many times the native engine's throughput on a GPU.

Written against vLLM 0.33 (`vllm/sampling_params.py`, `vllm/entrypoints/llm.py`).
"""

import asyncio
from pathlib import Path
from typing import Any

from camelid.errors import UserError
from finetune.generate.chunk import ChosenToken, FinishReason
from finetune.generate.decode import Generated
from finetune.generate.sampling import Sampling

BATCH = 4096  # vLLM schedules for itself: the more it knows of, the better

Waiting = tuple[list[int], int, Sampling, asyncio.Future[Generated]]


class VllmEngine:
    """Answers prompts that wait at the same time together.

    Args:
        folder: Hugging Face layout.
        context: tokens that prompt and answer share.
        end_ids: tokens that end an answer.

    Raises:
        UserError: vLLM is not installed.
    """

    def __init__(self, folder: Path, context: int, end_ids: list[int]) -> None:
        try:
            from vllm import LLM, SamplingParams
        except ImportError:
            raise UserError("--engine vllm: vLLM is not installed; `pip install vllm`, or leave --engine out") from None
        self._model, self._parameters_type = LLM(model=str(folder), max_model_len=context), SamplingParams
        self._context, self._end_ids = context, end_ids
        self._waiting: list[Waiting] = []
        self._worker: asyncio.Task[None] | None = None

    async def answer(self, prompt: list[int], seed: int, sampling: Sampling) -> Generated:
        """Answer one prompt, together with whatever else is waiting."""
        future: asyncio.Future[Generated] = asyncio.get_running_loop().create_future()
        self._waiting.append((prompt, seed, sampling, future))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        await asyncio.sleep(0)  # let requests of the same moment gather
        while self._waiting:
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            try:
                outputs = await asyncio.to_thread(self._generate, batch)
            except Exception as error:  # who waits for these answers must hear of it
                for *_, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (*_, future), output in zip(batch, outputs, strict=True):
                if not future.done():
                    future.set_result(_to_generated(output.outputs[0], self._end_ids))

    def _generate(self, batch: list[Waiting]) -> list[Any]:
        parameters = [
            self._parameters_type(
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                top_k=sampling.top_k,
                min_p=sampling.min_p,
                repetition_penalty=sampling.repetition_penalty,
                presence_penalty=sampling.presence_penalty,
                frequency_penalty=sampling.frequency_penalty,
                seed=seed,
                stop=list(sampling.stop),
                stop_token_ids=self._end_ids,
                max_tokens=min(sampling.max_new_tokens, self._context - len(prompt)),
                logprobs=sampling.top_logprobs,
            )
            for prompt, seed, sampling, _ in batch
        ]
        inputs = [{"prompt_token_ids": prompt} for prompt, *_ in batch]
        outputs: list[Any] = self._model.generate(inputs, parameters, use_tqdm=False)
        return outputs


def _to_generated(output: Any, end_ids: list[int]) -> Generated:
    """vLLM counts the token that ended an answer to it; we don't."""
    ids = list(output.token_ids)
    logprobs = [{token: float(entry.logprob) for token, entry in step.items()} for step in output.logprobs or []]
    end_token = None
    if ids and ids[-1] in end_ids:
        end_token = ChosenToken(ids.pop(), logprobs.pop() if logprobs else None)
    reason: FinishReason = "length" if output.finish_reason == "length" else "stop"
    return Generated(ids, output.text, reason, logprobs, end_token)
