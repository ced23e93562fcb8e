"""Answers by our own model, by continuous batching: requests join and leave between two steps."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from finetune.generate.chunk import Chunk
from finetune.generate.decode import Generated
from finetune.generate.decoder import Decoder
from finetune.generate.sampling import Sampling
from finetune.generate.slots import round_up
from finetune.llama.model import Llama

BATCH = 32  # most answers written at once


@dataclass(eq=False)
class AwaitedJob:
    """See `DecoderJob`; `answer` is what somebody awaits."""

    prompt: list[int]
    seed: int
    sampling: Sampling
    answer: asyncio.Future[Generated]
    chunks: list[Chunk]
    adapter: None = None

    @property
    def cancelled(self) -> bool:
        return self.answer.cancelled()


class NativeEngine:
    """Answers prompts as they come, whatever their sampling; nobody waits for the slowest of a batch.

    Args:
        model: in eval mode, used by nobody else.
        tokenizer: decodes the answers.
        end_ids: tokens that end an answer.
    """

    def __init__(self, model: Llama, tokenizer: Any, end_ids: Sequence[int]) -> None:
        most_tokens = BATCH * round_up(model.config.context)
        self._decoder = Decoder[AwaitedJob](model, tokenizer, end_ids, BATCH, most_tokens)
        self._arrived: list[AwaitedJob] = []
        self._worker: asyncio.Task[None] | None = None

    async def answer(self, prompt: list[int], seed: int, sampling: Sampling) -> Generated:
        """Answer one prompt, together with whatever else is being answered."""
        job = AwaitedJob(prompt, seed, sampling, asyncio.get_running_loop().create_future(), [])
        self._arrived.append(job)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await job.answer

    async def _work(self) -> None:
        await asyncio.sleep(0)  # let requests of the same moment gather
        while self._arrived or self._decoder.busy:
            arrived, self._arrived = self._arrived, []
            self._decoder.add(arrived)
            try:
                ended = await asyncio.to_thread(self._advance)
            except Exception as error:  # the model failed: who waits for these answers must hear of it
                for job in self._decoder.drop_running():
                    if not job.answer.done():
                        job.answer.set_exception(error)
                continue
            for job in ended:
                if not job.answer.done():
                    job.answer.set_result(Generated.from_chunks(job.chunks))

    def _advance(self) -> list[AwaitedJob]:
        """Step until answers end or requests have come; return the jobs that ended."""
        while self._decoder.busy:
            ended = []
            for job, chunk in self._decoder.step():
                job.chunks.append(chunk)
                if chunk.end:
                    ended.append(job)
            if ended or self._arrived:
                return ended
        return []
