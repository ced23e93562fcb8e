"""An answer that is being written: what is asked of it, and what it makes of each token."""

from dataclasses import replace
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from finetune.generate.chunk import ChosenToken, Chunk
from finetune.generate.low_rank import LowRankAdapter
from finetune.generate.sampling import Sampling, SamplingState
from finetune.generate.text_stream import NoText, TextStream


class DecoderJob(Protocol):
    """What the decoder asks of an answer to write; jobs are told apart by identity.

    Attributes:
        prompt: token ids, at least one and fewer than `Decoder.room` gives.
        seed: of the random choices.
        sampling: how to choose.
        cancelled: set it, and the answer leaves the batch before the next step.
        adapter: what is added to the model's weights for this answer; None adds nothing. `Decoder.call` knows it.
    """

    @property
    def prompt(self) -> list[int]: ...
    @property
    def seed(self) -> int: ...
    @property
    def sampling(self) -> Sampling: ...
    @property
    def cancelled(self) -> bool: ...
    @property
    def adapter(self) -> LowRankAdapter | None: ...


JobT = TypeVar("JobT", bound=DecoderJob)


class Answering(Generic[JobT]):
    """A job in the batch.

    Args:
        job: what is asked.
        tokenizer: decodes the answer; None leaves its text empty, and wants no stop strings.
        room: tokens that prompt and answer get.
        state: chooses tokens.
        known: tokens of the prompt that are not read anew.

    Attributes:
        prompt_ids: the prompt.
        ids: what was written.
        prompt: the prompt's tokens with their log-probabilities, if they are asked for, until they are told.
    """

    def __init__(self, job: JobT, tokenizer: Any, room: int, state: SamplingState, known: int = 0) -> None:
        self.job, self.room, self.state = job, room, state
        self.prompt_ids = np.asarray(job.prompt, dtype=np.int64)
        self.ids: list[int] = []
        self.prompt: tuple[ChosenToken, ...] = ()
        self._known = known
        self.text: TextStream | NoText = NoText()
        if tokenizer is not None:
            self.text = TextStream(tokenizer, job.sampling.stop, job.sampling.after)

    def add(self, token: ChosenToken, end_ids: frozenset[int]) -> Chunk:
        """Take the next token.

        Args:
            token: with its log-probabilities.
            end_ids: tokens that end every answer; the adapter may have some more.
        """
        chunk = self._made(token, end_ids)
        if self.prompt or self._known:
            chunk = replace(chunk, prompt=self.prompt, known=self._known)
            self.prompt, self._known = (), 0
        return chunk

    def _made(self, token: ChosenToken, end_ids: frozenset[int]) -> Chunk:
        if self.room == len(self.job.prompt):  # who asks for no token at all wants to know of the prompt's
            return Chunk("", end="length")
        adapter = self.job.adapter
        if token.id in end_ids or (adapter is not None and token.id in adapter.end_ids):
            return Chunk(self.text.finish(), (), token, "stop")
        if self.state.failed:
            return Chunk(self.text.finish(), end="error")
        self.ids.append(token.id)
        text = self.text.add(token.id)
        full = len(self.ids) == self.room - len(self.job.prompt)
        complete = self.state.complete
        if (full or complete) and not self.text.stopped:
            text += self.text.finish()
        return Chunk(text, (token,), None, "stop" if self.text.stopped or complete else "length" if full else None)
