"""The models of a server and the way from the event loop to their threads and back."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import product
from weakref import WeakSet

from camelid.errors import UserError
from camelid.message import Message, Tool
from conversations.tokens.span import ChatFormat
from finetune.generate.chunk import Chunk, merge_chunks
from finetune.generate.decoder import Decoder
from finetune.generate.grammar import GrammarTokenizer
from finetune.generate.low_rank import AdaptedModel
from finetune.generate.sampling import Sampling
from finetune.serve.chat_turns import is_begun
from finetune.serve.errors import ApiError
from finetune.serve.scheduler import BusyError, Job, Scheduler
from finetune.serve.served import KEPT, ServedModel, cache_tokens
from finetune.serve.token_texts import TokenTexts


@dataclass(frozen=True)
class ServerLimits:
    """What bounds the server's memory and patience.

    Attributes:
        batch: answers that a model writes at once.
        cache_tokens: prompt and answer tokens in memory of what is being written, and a quarter as many again (`KEPT`)
            of earlier chats; None takes what fits.
        waiting: answers that may wait for a place; beyond that clients get a 429.
        timeout: seconds for one request.
        adapters: whether models may have adapters beside them, in the same batch.
    """

    batch: int = 64
    cache_tokens: int | None = None
    waiting: int = 256
    timeout: float = 600.0
    adapters: bool = False


class ServingEngine:
    """One model with its scheduler, as the event loop sees it.

    Args:
        served: the model.
        limits: see `ServerLimits`.
        loop: where chunks are delivered.

    Attributes:
        token_texts: of its vocabulary.
        writing: the thread in which long replies are written.
        counts: `requests`, `answers`, `prompt_tokens`, `known_tokens`, `completion_tokens`, `cancelled`, `refused`, for
            metrics.
    """

    def __init__(self, served: ServedModel, limits: ServerLimits, loop: asyncio.AbstractEventLoop) -> None:
        self.served, self.limits = served, limits
        self.created = int(time.time())
        self.counts: Counter[str] = Counter()
        self.token_texts = TokenTexts(served.tokenizer)
        self.writing = ThreadPoolExecutor(1, "replies")  # one, so that the event loop has one rival for Python's lock
        self._running: WeakSet[RunningRequest] = WeakSet()
        self._most_characters = served.model.config.context * served.longest_token
        tokens = limits.cache_tokens or cache_tokens(served.model, limits.batch)
        call = AdaptedModel(served.model) if limits.adapters else None
        kept = int(KEPT * tokens)
        decoder = Decoder[Job](
            served.model, served.tokenizer, served.end_ids, limits.batch, tokens, call, kept_tokens=kept
        )

        def publish(chunks: list[tuple[Job, Chunk]]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(_deliver, chunks)

        self.scheduler = Scheduler(decoder, publish, limits.waiting)

    def beside(self, served: ServedModel) -> "ServingEngine":
        """An adapter on this engine's model, under a name of its own, in the same batch."""
        other = copy(self)
        other.served, other.created, other.counts, other._running = served, int(time.time()), Counter(), WeakSet()
        other.__dict__.pop("grammar_tokenizer", None)  # its answers may end differently
        return other

    @cached_property
    def grammar_tokenizer(self) -> GrammarTokenizer:
        """What answers that keep to a grammar are checked with; made when the first one is asked for.

        Raises:
            ApiError: llguidance is not installed.
        """
        try:
            return GrammarTokenizer(self.served.tokenizer, self.served.model.config.vocab_size, self.served.end_ids)
        except UserError as error:
            raise ApiError(501, str(error)) from None

    @property
    def template(self) -> ChatFormat:
        """How the model's chats are written.

        Raises:
            ApiError: it takes no chats.
        """
        if isinstance(self.served.encoder, UserError):
            raise ApiError(400, str(self.served.encoder), "invalid_value", "model")
        return self.served.encoder.template

    async def encode_chat(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> list[int]:
        """Token ids of a chat, by the model's own template; what the assistant says last is gone on with.

        Raises:
            ApiError: too long for the model, or it takes no chats.
            UserError: the template cannot write it.
        """
        encoder = self.served.encoder
        if isinstance(encoder, UserError):
            raise ApiError(400, str(encoder), "invalid_value", "model")
        self._check_characters(sum(len(message.content) for message in messages), "messages")
        if self.served.system is not None and messages[0].role != "system":
            messages = [Message("system", self.served.system), *messages]
        encode = encoder.encode_open_answer if is_begun(messages) else partial(encoder.encode_prompt, tools=tools)
        ids = await asyncio.to_thread(encode, messages)
        return self._checked(ids, "messages")

    async def encode_text(self, prompt: str | list[int]) -> list[int]:
        """Token ids of a raw prompt.

        Raises:
            ApiError: too long for the model, empty, or ids that the vocabulary lacks.
        """
        if isinstance(prompt, list):
            self._checked(prompt, "prompt")
            if any(not 0 <= token < self.served.model.config.vocab_size for token in prompt):
                raise ApiError(400, "a token id is not in the vocabulary", "invalid_value", "prompt")
            return prompt
        self._check_characters(len(prompt), "prompt")
        encoded = await asyncio.to_thread(self.served.tokenizer, prompt)
        return self._checked(list(encoded["input_ids"]), "prompt")

    async def encode_infill(self, prefix: str, suffix: str) -> list[int]:
        """Token ids of a text with a hole, up to where its middle begins.

        Raises:
            ApiError: too long for the model, or it cannot fill holes.
        """
        infill = self.served.infill
        if isinstance(infill, UserError):
            raise ApiError(400, str(infill), "invalid_value", "suffix")
        self._check_characters(len(prefix) + len(suffix), "prompt")
        return self._checked(await asyncio.to_thread(infill.prompt, prefix, suffix), "prompt")

    def start(self, prompts: Sequence[list[int]], seeds: Sequence[int], sampling: Sampling) -> "RunningRequest":
        """Queue answers to every prompt, as many as there are seeds.

        Raises:
            ApiError: 429, too many are waiting.
        """
        most = self.limits.waiting + self.limits.batch
        if len(prompts) * len(seeds) > most:
            message = f"asks for {len(prompts) * len(seeds)} answers; this server takes {most} of one request at most"
            raise ApiError(400, message, "invalid_value", "n")
        run = RunningRequest(self, prompts, seeds, sampling)
        try:
            self.scheduler.submit(run.jobs)
        except BusyError:
            self.counts["refused"] += len(run.jobs)
            message = f"{self.scheduler.waiting} answers are waiting already; try again in a moment"
            raise ApiError(429, message, "rate_limit_exceeded") from None
        self.counts["answers"] += len(run.jobs)
        self.counts["prompt_tokens"] += run.prompt_tokens
        self._running.add(run)
        return run

    def stop(self) -> None:
        """End all answers that are not finished, as the server stops."""
        for run in list(self._running):
            run.fail(ApiError(503, "the server was stopped before this answer was finished; ask again", "shutdown"))

    def close(self) -> None:
        """End its threads."""
        self.scheduler.close()
        self.writing.shutdown(cancel_futures=True)

    def _check_characters(self, count: int, param: str) -> None:
        """Refuse a text that is certainly too long without the work of tokenising it."""
        if count > self._most_characters:
            raise self._too_long(f"has {count} characters", param)

    def _checked(self, ids: list[int], param: str) -> list[int]:
        room = self.scheduler.room(self.served.model.config.context, 0)
        if not ids:
            raise ApiError(400, "the prompt is empty", "invalid_value", param)
        if len(ids) >= room:
            raise self._too_long(f"has {len(ids)} tokens", param)
        return ids

    def _too_long(self, size: str, param: str) -> ApiError:
        room = self.scheduler.room(self.served.model.config.context, 0)
        message = f"the prompt {size}; this model takes fewer than {room} tokens, prompt and answer together"
        return ApiError(400, message, "context_length_exceeded", param)


class RunningRequest:
    """The answers to one request while they are written. Close it, and what is not finished leaves the batch."""

    def __init__(
        self, engine: ServingEngine, prompts: Sequence[list[int]], seeds: Sequence[int], sampling: Sampling
    ) -> None:
        self._engine = engine
        self._chunks: asyncio.Queue[tuple[int, Chunk] | ApiError] = asyncio.Queue()
        self._ends_at = time.monotonic() + engine.limits.timeout
        self._unfinished = len(prompts) * len(seeds)
        self.prompt_tokens = sum(len(prompt) for prompt in prompts)
        self.completion_tokens = 0
        self.known_tokens = 0  # of the prompts, which were kept and not read anew
        self._answers = len(seeds)
        self.jobs = [
            Job(prompt, seed, sampling, partial(self._take, index), adapter=engine.served.adapter)
            for index, (prompt, seed) in enumerate(product(prompts, seeds))
        ]

    async def chunks(self) -> AsyncIterator[list[tuple[int, Chunk]]]:
        """What has been written since the last time, one chunk for each answer that went on.

        Raises:
            ApiError: 504, the time is up; 500, the model failed; 503, the server stops.
        """
        while self._unfinished:
            new: dict[int, list[Chunk]] = {}
            came = [await self._next()]
            while not self._chunks.empty():
                came.append(self._chunks.get_nowait())
            for one in came:
                if isinstance(one, ApiError):
                    raise one
                new.setdefault(one[0], []).append(one[1])
            merged = [(index, merge_chunks(parts)) for index, parts in sorted(new.items())]
            for index, chunk in merged:
                self.completion_tokens += len(chunk.tokens)
                self._count_known(index, chunk)
                self._engine.counts["completion_tokens"] += len(chunk.tokens)
                self._unfinished -= chunk.end is not None
                if chunk.end == "error":
                    raise ApiError(500, "the model failed while it wrote this answer; see the server's log")
            yield merged

    async def whole(self) -> list[Chunk]:
        """All answers, finished."""
        parts: list[list[Chunk]] = [[] for _ in self.jobs]
        async for new in self.chunks():
            for index, chunk in new:
                parts[index].append(chunk)
        return [merge_chunks(chunks) for chunks in parts]

    def fail(self, error: ApiError) -> None:
        """End the answers with an error, unless they are finished."""
        self._chunks.put_nowait(error)

    async def close(self) -> None:
        """Give up what is not finished; harmless otherwise."""
        if self._unfinished:
            self._engine.counts["cancelled"] += self._unfinished
            self._unfinished = 0
            for job in self.jobs:
                job.cancelled = True

    def _count_known(self, index: int, chunk: Chunk) -> None:
        if index % self._answers == 0:  # of several answers to a prompt, which is read once, the first one's counts
            self.known_tokens += chunk.known
            self._engine.counts["known_tokens"] += chunk.known

    def _take(self, index: int, chunk: Chunk) -> None:
        self._chunks.put_nowait((index, chunk))

    async def _next(self) -> tuple[int, Chunk] | ApiError:
        try:
            return await asyncio.wait_for(self._chunks.get(), self._ends_at - time.monotonic())
        except TimeoutError:
            limit = self._engine.limits.timeout
            raise ApiError(504, f"no full answer within {limit:g} s; ask for fewer tokens or try again") from None


def _deliver(chunks: list[tuple[Job, Chunk]]) -> None:
    for job, chunk in chunks:
        job.sink(chunk)
