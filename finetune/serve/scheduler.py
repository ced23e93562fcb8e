"""Continuous batching: one thread runs the model; answers join and leave the batch between its steps.

An answer is what `finetune.generate.decode` makes of the same prompt, seed and sampling, whatever else is in the batch.
Shapes: B answers in the batch, V vocabulary.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from finetune.generate.decode import (
    FinishReason,
    Sampling,
    apply_repetition_penalty,
    read_prompts,
    token_probabilities,
    top_logprobs,
)
from finetune.generate.text_stream import TextStream
from finetune.llama.model import Llama
from finetune.serve.slots import STEP, Slots

logger = logging.getLogger(__name__)

READ_AT_ONCE = 4096  # prompt tokens of one forward pass, unless a single prompt is longer; bounds its memory


class BusyError(Exception):
    """As many answers are waiting as may wait."""


@dataclass(frozen=True)
class Chunk:
    """What a step added to an answer.

    Attributes:
        text: what can be shown by now, possibly nothing.
        count: tokens it took.
        tokens: each token, and the log-probabilities of it and of the likeliest ones by id, if `sampling` asks for it.
        end: why the answer ends here; None if it goes on. `error`: the model failed.
    """

    text: str
    count: int
    tokens: tuple[tuple[int, dict[int, float]], ...] = ()
    end: FinishReason | Literal["error"] | None = None


@dataclass(eq=False)
class Job:
    """One answer to write.

    Attributes:
        prompt: token ids, at least one and fewer than the model's context.
        seed: of the random choices.
        sampling: how to choose.
        sink: called with every chunk, where `publish` of the scheduler runs it.
        cancelled: set it, and the answer leaves the batch before the next step.
    """

    prompt: list[int]
    seed: int
    sampling: Sampling
    sink: Callable[[Chunk], None]
    cancelled: bool = False
    arrived: float = field(default_factory=time.monotonic)


class _RunningAnswer:
    """A job in the batch."""

    def __init__(self, job: Job, tokenizer: Any, room: int, vocab_size: int, device: torch.device) -> None:
        self.job = job
        self.budget = room - len(job.prompt)
        self.written = 0
        self.last = 0
        self.text = TextStream(tokenizer, job.sampling.stop)
        self.generator = torch.Generator(device).manual_seed(job.seed)
        self.seen_1V: Tensor | None = None
        if job.sampling.repetition_penalty != 1:
            self.seen_1V = torch.zeros(1, vocab_size, dtype=torch.bool, device=device)
            self.seen_1V[0, job.prompt] = True

    @property
    def room(self) -> int:
        return len(self.job.prompt) + self.budget

    def add(self, token: int, end_ids: frozenset[int], logprobs: dict[int, float] | None) -> Chunk:
        """Take the next token."""
        if token in end_ids:
            return Chunk(self.text.finish(), 0, end="stop")
        self.last = token
        self.written += 1
        text = self.text.add(token)
        end: FinishReason | None = None
        if not self.text.stopped and self.written == self.budget:
            text, end = text + self.text.finish(), "length"
        tokens = () if logprobs is None else ((token, logprobs),)
        return Chunk(text, 1, tokens, "stop" if self.text.stopped else end)


class Scheduler:
    """Writes answers with one model.

    Args:
        model: in eval mode, used by nobody else.
        tokenizer: decodes the answers.
        end_ids: tokens that end an answer.
        publish: called in the model's thread after each step with all new chunks.
        most_batch: answers written at once.
        most_tokens: tokens of room in the cache, over all answers.
        most_waiting: answers that may wait for a place.

    Attributes:
        running, waiting: answers now.
        started: time from a job's arrival to its first token, seconds: (how many, sum).
        failed: steps in which the model failed.
    """

    def __init__(
        self,
        model: Llama,
        tokenizer: Any,
        end_ids: Sequence[int],
        publish: Callable[[list[tuple[Job, Chunk]]], None],
        most_batch: int,
        most_tokens: int,
        most_waiting: int,
    ) -> None:
        self._model, self._tokenizer, self._end_ids, self._publish = model, tokenizer, frozenset(end_ids), publish
        self._most_batch, self._most_tokens, self._most_waiting = most_batch, most_tokens, most_waiting
        self._device = model.lm_head.weight.device
        self._slots = self._new_slots()
        self._batch: list[_RunningAnswer] = []
        self._queue: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self.started, self.failed = (0, 0.0), 0
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    @property
    def running(self) -> int:
        return len(self._batch)

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @property
    def cache_bytes(self) -> int:
        return self._slots.bytes

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def room(self, prompt: int, new: int) -> int:
        """Tokens of room that an answer gets: prompt and answer, within the model's context and the cache."""
        return min(prompt + new, self._model.config.context, self._most_tokens // STEP * STEP)

    def submit(self, jobs: Sequence[Job]) -> None:
        """Queue jobs, all or none.

        Raises:
            BusyError: too many are waiting.
        """
        with self._changed:
            if len(self._queue) + len(jobs) > self._most_waiting + max(0, self._most_batch - len(self._batch)):
                raise BusyError
            self._queue.extend(jobs)
            self._changed.notify()

    def close(self) -> None:
        """Stop after the current step; answers not finished get no more chunks."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._batch or self._closing)
                if self._closing:
                    return
                self._drop_cancelled()
                joining = self._joining()
            # The model runs outside the lock, so that submitting never waits for a step. Prompts are read in a pass of
            # their own, between two steps: those who are being answered wait for one prompt pass at most, which
            # READ_AT_ONCE bounds, and nobody waits for the batch to empty.
            try:
                with torch.inference_mode():
                    if joining:
                        self._publish(self._join(joining))
                    if self._batch:
                        self._publish(self._step())
            except Exception:
                # Which rows the failed pass has written is not known, so the whole cache goes, and every answer in it.
                # Jobs that were joining may be in the batch already; each is told once.
                logger.exception("the model failed; its answers end here")
                self.failed += 1
                lost = {id(job): job for job in [*(answer.job for answer in self._batch), *joining]}.values()
                self._batch, self._slots = [], self._new_slots()
                self._publish([(job, Chunk("", 0, end="error")) for job in lost])

    def _drop_cancelled(self) -> None:
        self._queue = deque(job for job in self._queue if not job.cancelled)
        for row in reversed(range(len(self._batch))):  # backwards: `_leave` moves the last row into the free one
            if self._batch[row].job.cancelled:
                self._leave(row)

    def _joining(self) -> list[Job]:
        """Take as many from the queue, in order, as there is room for and one forward pass may read."""
        joining: list[Job] = []
        longest = max((answer.room for answer in self._batch), default=0)
        reading = 0
        while self._queue and len(self._batch) + len(joining) < self._most_batch:
            job = self._queue[0]
            longest, reading = max(longest, self._room(job)), reading + len(job.prompt)
            rows = len(self._batch) + len(joining) + 1
            # In order, even if a shorter one behind would fit: else a long prompt would wait for ever. The first one
            # always may be read, however long, or it never would.
            if not self._slots.fits(rows, longest) or (joining and reading > READ_AT_ONCE):
                break
            joining.append(self._queue.popleft())
        return joining

    def _room(self, job: Job) -> int:
        return self.room(len(job.prompt), job.sampling.max_new_tokens)

    def _join(self, joining: list[Job]) -> list[tuple[Job, Chunk]]:
        """Read the prompts and write the first token of each answer."""
        size = self._model.config.vocab_size
        self._batch += [_RunningAnswer(job, self._tokenizer, self._room(job), size, self._device) for job in joining]
        self._slots.join(len(joining), max(answer.room for answer in self._batch))
        logits_BV = read_prompts(self._model, [job.prompt for job in joining], self._slots, self._device)
        now = time.monotonic()
        waited = sum(now - job.arrived for job in joining)
        self.started = (self.started[0] + len(joining), self.started[1] + waited)
        return self._add(len(self._batch) - len(joining), logits_BV)

    def _step(self) -> list[tuple[Job, Chunk]]:
        """Write one more token of every answer."""
        # Row i of the cache is answer i of the batch: `_leave` keeps the two in step.
        last_B = torch.tensor([answer.last for answer in self._batch], device=self._device)
        positions_B, documents = self._slots.step()
        logits_BV = self._model(last_B, positions_B, documents, cache=self._slots)
        self._slots.advance(torch.ones(len(self._batch), dtype=torch.long))
        return self._add(0, logits_BV)

    def _add(self, first: int, logits_BV: Tensor) -> list[tuple[Job, Chunk]]:
        """Choose tokens for the rows from `first` on; take those that end out of the batch."""
        answers = self._batch[first:]
        chosen = choose_tokens(logits_BV, answers)
        logprobs = _logprobs(logits_BV, chosen, [answer.job.sampling for answer in answers])
        chunks = []
        for row, (answer, token) in enumerate(zip(answers, chosen, strict=True)):
            chunks.append((answer.job, answer.add(token, self._end_ids, logprobs.get(row))))
        for row in reversed(range(len(answers))):
            if chunks[row][1].end:
                self._leave(first + row)
        return chunks

    def _leave(self, row: int) -> None:
        self._slots.leave(row)
        last = self._batch.pop()
        if row < len(self._batch):
            self._batch[row] = last

    def _new_slots(self) -> Slots:
        weight = self._model.lm_head.weight
        return Slots(self._model.config, self._most_tokens, weight.dtype, weight.device)


def choose_tokens(logits_BV: Tensor, answers: Sequence[_RunningAnswer]) -> list[int]:
    """The next token of each answer, with its own sampling and random source."""
    rows_of: dict[tuple[float, float, int], list[int]] = {}
    if any(answer.seen_1V is not None for answer in answers):
        logits_BV = logits_BV.clone()
    for row, answer in enumerate(answers):
        if answer.seen_1V is not None:
            penalty = answer.job.sampling.repetition_penalty
            logits_BV[row] = apply_repetition_penalty(logits_BV[row, None], answer.seen_1V, penalty)[0]
        sampling = answer.job.sampling
        rows_of.setdefault((sampling.temperature, sampling.top_p, sampling.top_k), []).append(row)
    chosen = torch.zeros(len(answers), dtype=torch.long, device=logits_BV.device)
    for (temperature, _, _), rows in rows_of.items():
        if temperature == 0:
            chosen[rows] = logits_BV[rows].argmax(-1)
            continue
        chances_BV = token_probabilities(logits_BV[rows], answers[rows[0]].job.sampling)
        drawn = [
            torch.multinomial(chances_V, 1, generator=answers[row].generator)
            for row, chances_V in zip(rows, chances_BV, strict=True)
        ]
        chosen[rows] = torch.cat(drawn)
    tokens: list[int] = chosen.tolist()
    for answer, token in zip(answers, tokens, strict=True):
        if answer.seen_1V is not None:
            answer.seen_1V[0, token] = True
    return tokens


def _logprobs(logits_BV: Tensor, chosen: Sequence[int], samplings: Sequence[Sampling]) -> dict[int, dict[int, float]]:
    """Log-probabilities of the rows that ask for them."""
    counts = {row: sampling.top_logprobs for row, sampling in enumerate(samplings)}
    asking = {row: count for row, count in counts.items() if count is not None}
    if not asking:
        return {}
    rows = list(asking)
    chosen_R = torch.tensor([chosen[row] for row in rows], device=logits_BV.device)
    return dict(zip(rows, top_logprobs(logits_BV[rows], chosen_R, max(asking.values())), strict=True))


def merge_chunks(chunks: Iterable[Chunk]) -> Chunk:
    """Several chunks of one answer, in order, as one."""
    chunks = list(chunks)
    return Chunk(
        "".join(chunk.text for chunk in chunks),
        sum(chunk.count for chunk in chunks),
        tuple(token for chunk in chunks for token in chunk.tokens),
        chunks[-1].end,
    )
