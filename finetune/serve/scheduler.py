"""A thread and a queue around the decoder: answers are asked for from anywhere, one thread runs the model."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from finetune.generate.chunk import Chunk
from finetune.generate.decoder import Decoder
from finetune.generate.low_rank import LowRankAdapter
from finetune.generate.sampling import Sampling
from finetune.serve.histogram import Histogram

logger = logging.getLogger(__name__)


class BusyError(Exception):
    """As many answers are waiting as may wait."""


@dataclass(eq=False)
class Job:
    """One answer to write.

    Attributes:
        prompt: token ids, at least one and fewer than the model's context.
        seed: of the random choices.
        sampling: how to choose.
        sink: called with every chunk, where `publish` of the scheduler runs it.
        cancelled: set it, and the answer leaves the batch before the next step.
        arrived: when it came, in seconds of the monotonic clock.
        latest: when its latest token came, by the same clock; None before the first.
        adapter: as in `DecoderJob`.
    """

    prompt: list[int]
    seed: int
    sampling: Sampling
    sink: Callable[[Chunk], None]
    cancelled: bool = False
    arrived: float = field(default_factory=time.monotonic)
    latest: float | None = None
    adapter: LowRankAdapter | None = None


class Scheduler:
    """Writes answers with one model.

    Args:
        decoder: used by nobody else.
        publish: called in the model's thread after each step with all new chunks.
        most_waiting: answers that may wait for a place.

    Attributes:
        running, waiting: answers now.
        queued: from a job's arrival until its prompt is read.
        first_token: from its arrival until its first token.
        between_tokens: from each of its tokens to the next.
        failed: steps in which the model failed.
    """

    def __init__(
        self, decoder: Decoder[Job], publish: Callable[[list[tuple[Job, Chunk]]], None], most_waiting: int
    ) -> None:
        self._decoder, self._publish, self._most_waiting = decoder, publish, most_waiting
        self._arrived: list[Job] = []
        self._gone: list[LowRankAdapter] = []
        self._changed = threading.Condition()
        self._closing = False
        self._queued: list[Job] = []  # as in the decoder, for how long they wait
        self.queued, self.first_token, self.between_tokens, self.failed = Histogram(), Histogram(), Histogram(), 0
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    @property
    def running(self) -> int:
        return self._decoder.running

    @property
    def waiting(self) -> int:
        return len(self._arrived) + self._decoder.waiting

    @property
    def cache_bytes(self) -> int:
        return self._decoder.cache_bytes

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def room(self, prompt: int, new: int) -> int:
        """See `Decoder.room`."""
        return self._decoder.room(prompt, new)

    def submit(self, jobs: Sequence[Job]) -> None:
        """Queue jobs, all or none.

        Raises:
            BusyError: too many are waiting.
        """
        with self._changed:
            if self.waiting + len(jobs) > self._most_waiting + max(0, self._decoder.most_batch - self.running):
                raise BusyError
            self._arrived.extend(jobs)
            self._changed.notify()

    def forget(self, adapter: LowRankAdapter) -> None:
        """Keep nothing of an adapter that is not served any more; answers that have begun with it go on."""
        with self._changed:
            self._gone.append(adapter)
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
                self._changed.wait_for(lambda: self._arrived or self._gone or self._decoder.busy or self._closing)
                if self._closing:
                    return
                arrived, self._arrived = self._arrived, []
                self._decoder.add(arrived)
                self._queued.extend(arrived)
                gone, self._gone = self._gone, []
                for adapter in gone:
                    self._decoder.forget(adapter)
            # The model runs outside the lock, so that submitting never waits for a step.
            began = time.monotonic()
            try:
                chunks = self._decoder.step()
            except Exception:
                logger.exception("the model failed; its answers end here")
                self.failed += 1
                chunks = [(job, Chunk("", end="error")) for job in self._decoder.drop_running()]
            else:
                self._count_joined(began)
                self._count_tokens(chunks, time.monotonic())
            if chunks:
                self._publish(chunks)

    def _count_joined(self, now: float) -> None:
        """Count those that have left the queue: its first ones, but for what was given up."""
        self._queued = [job for job in self._queued if not job.cancelled]
        joined = max(0, len(self._queued) - self._decoder.waiting)
        for job in self._queued[:joined]:
            self.queued.add(now - job.arrived)
        del self._queued[:joined]

    def _count_tokens(self, chunks: list[tuple[Job, Chunk]], now: float) -> None:
        for job, chunk in chunks:
            if job.latest is None:
                self.first_token.add(now - job.arrived)
            elif chunk.tokens:
                for _ in chunk.tokens:
                    self.between_tokens.add((now - job.latest) / len(chunk.tokens))
            job.latest = now
