"""The one decoder: answers join and leave a running batch between passes of the model. It has no threads.

An answer is the same whatever else is in the batch, on whichever process: its random source is its own.
Shapes: B answers in the batch, V vocabulary.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from camelid.errors import UserError
from finetune.generate.chunk import ChosenToken, Chunk
from finetune.generate.sampling import Sampling, SamplingState, choose_tokens, top_logprobs
from finetune.generate.slots import STEP, Slots
from finetune.generate.text_stream import TextStream
from finetune.llama.attention import Documents
from finetune.llama.model import Llama

READ_AT_ONCE = 4096  # prompt tokens of one forward pass, unless a single prompt is longer; bounds its memory


class DecoderJob(Protocol):
    """What the decoder asks of an answer to write; jobs are told apart by identity.

    Attributes:
        prompt: token ids, at least one and fewer than `Decoder.room` gives.
        seed: of the random choices.
        sampling: how to choose.
        cancelled: set it, and the answer leaves the batch before the next step.
    """

    @property
    def prompt(self) -> list[int]: ...
    @property
    def seed(self) -> int: ...
    @property
    def sampling(self) -> Sampling: ...
    @property
    def cancelled(self) -> bool: ...


JobT = TypeVar("JobT", bound=DecoderJob)


class _Answering(Generic[JobT]):
    """A job in the batch."""

    def __init__(self, job: JobT, tokenizer: Any, room: int, state: SamplingState) -> None:
        self.job, self.room, self.state = job, room, state
        self.written = 0
        self.last = 0
        self.text = TextStream(tokenizer, job.sampling.stop, job.sampling.after)

    def add(self, token: ChosenToken, end_ids: frozenset[int]) -> Chunk:
        """Take the next token."""
        if token.id in end_ids:
            return Chunk(self.text.finish(), (), token, "stop")
        self.last = token.id
        self.written += 1
        text = self.text.add(token.id)
        full = self.written == self.room - len(self.job.prompt)
        if full and not self.text.stopped:
            text += self.text.finish()
        return Chunk(text, (token,), None, "stop" if self.text.stopped else "length" if full else None)


class Decoder(Generic[JobT]):
    """Writes answers with one model, a pass at a time.

    Args:
        model: in eval mode while it is stepped. Where its weights are cut over processes, all make the same passes
            (see `answer_jobs` in `finetune.generate.decode`).
        tokenizer: decodes the answers.
        end_ids: tokens that end an answer (end of sequence, end of turn).
        most_batch: answers written at once.
        most_tokens: tokens of room in the cache, over all answers.
        call: what is called in place of `model`, where wrappers around it must be (`fully_shard` with an adapter).
        device: where it computes, if its weights lie elsewhere.
    """

    def __init__(
        self,
        model: Llama,
        tokenizer: Any,
        end_ids: Sequence[int],
        most_batch: int,
        most_tokens: int,
        call: Callable[..., Tensor] | None = None,
        device: torch.device | None = None,
    ) -> None:
        if model.config.num_labels:
            raise UserError("a reward model gives scores and says nothing; score answers with `camelid finetune score`")
        self._config, self._tokenizer, self._end_ids = model.config, tokenizer, frozenset(end_ids)
        self._most_batch, self._most_tokens = most_batch, most_tokens
        self._call = model if call is None else call
        self._device = model.lm_head.weight.device if device is None else device
        # Weights that `fully_shard` gathers stay in its buffers, which training uses again: not with inference tensors.
        cut = any(isinstance(weight, DTensor) for weight in model.parameters())
        self._mode = torch.no_grad if cut else torch.inference_mode
        self._slots = self._new_slots()
        self._batch: list[_Answering[JobT]] = []
        self._waiting: deque[JobT] = deque()
        self._joining: list[JobT] = []  # out of the queue, not yet surely in the batch
        self._has_read = False  # whether the last pass read prompts

    @property
    def running(self) -> int:
        """Answers in the batch."""
        return len(self._batch)

    @property
    def waiting(self) -> int:
        """Jobs that were added and are not in the batch yet."""
        return len(self._waiting)

    @property
    def busy(self) -> bool:
        return bool(self._batch or self._waiting)

    @property
    def cache_bytes(self) -> int:
        """Memory of keys and values."""
        return self._slots.bytes

    def room(self, prompt: int, new: int) -> int:
        """Tokens of room that an answer gets: prompt and answer, within the model's context and the cache."""
        return min(prompt + new, self._config.context, self._most_tokens // STEP * STEP)

    def add(self, jobs: Iterable[JobT]) -> None:
        """Queue jobs; they join the batch in this order. Not while `step` runs."""
        jobs = list(jobs)
        assert all(0 < len(job.prompt) < self.room(len(job.prompt), 1) for job in jobs), "a prompt fills the context"
        self._waiting.extend(jobs)

    def step(self) -> list[tuple[JobT, Chunk]]:
        """Make one pass of the model, none if nothing is left to do; return what it added to answers.

        Prompts are read in a pass of their own, as many as fit, those that are equal once. Two such passes never
        follow each other while answers are being written: these wait for one at most, which READ_AT_ONCE bounds.
        """
        with self._mode():
            self._drop_cancelled()
            if not (self._batch and self._has_read):
                self._joining = self._admitted()
                if self._joining:
                    self._has_read = True
                    return self._read()
            self._has_read = False
            return self._write() if self._batch else []

    def idle(self) -> None:
        """A pass that writes nothing: what a process does that has no job, while others step the same sharded model."""
        with self._mode():
            one = torch.zeros(1, dtype=torch.long, device=self._device)
            self._call(one, one, Documents.from_lengths([1], self._device))

    def drop_running(self) -> list[JobT]:
        """Forget the batch and its cache after `step` has failed; return the jobs that were in it."""
        # Which rows the failed pass has written is not known, so the whole cache goes, and every answer in it.
        # Jobs that were joining may be in the batch already.
        jobs = {id(job): job for job in [*(answer.job for answer in self._batch), *self._joining]}
        self._batch, self._joining, self._slots = [], [], self._new_slots()
        return list(jobs.values())

    def _drop_cancelled(self) -> None:
        if any(job.cancelled for job in self._waiting):
            self._waiting = deque(job for job in self._waiting if not job.cancelled)
        for row in reversed(range(len(self._batch))):  # backwards: `_leave` moves the last row into the free one
            if self._batch[row].job.cancelled:
                self._leave(row)

    def _admitted(self) -> list[JobT]:
        """Take as many jobs that wait, in order, as there is room for and one forward pass may read."""
        admitted: list[JobT] = []
        if not self._waiting:
            return admitted
        prompts: set[tuple[int, ...]] = set()
        longest = max((answer.room for answer in self._batch), default=0)
        reading = 0
        while self._waiting and len(self._batch) + len(admitted) < self._most_batch:
            job = self._waiting[0]
            prompt = tuple(job.prompt)
            longest = max(longest, self._room(job))
            reading += 0 if prompt in prompts else len(prompt)
            rows = len(self._batch) + len(admitted) + 1
            # In order, even if a shorter one behind would fit: else a long prompt would wait for ever. The first one
            # always may be read, however long, or it never would.
            if not self._slots.fits(rows, longest) or (admitted and reading > READ_AT_ONCE):
                break
            prompts.add(prompt)
            admitted.append(self._waiting.popleft())
        return admitted

    def _room(self, job: JobT) -> int:
        return self.room(len(job.prompt), job.sampling.max_new_tokens)

    def _read(self) -> list[tuple[JobT, Chunk]]:
        """Read the prompts of the jobs that join, each once, and write the first token of each answer."""
        first = len(self._batch)
        for job in self._joining:
            state = SamplingState(job.sampling, job.prompt, job.seed, self._config.vocab_size, self._device)
            self._batch.append(_Answering(job, self._tokenizer, self._room(job), state))
        number_of: dict[tuple[int, ...], int] = {}
        source_of = [number_of.setdefault(tuple(job.prompt), len(number_of)) for job in self._joining]
        lengths = [len(prompt) for prompt in number_of]
        ids_T = torch.tensor([token for prompt in number_of for token in prompt], device=self._device)
        positions_T = torch.cat([torch.arange(length, device=self._device) for length in lengths])
        last_U = torch.tensor(lengths, device=self._device).cumsum(0) - 1
        self._slots.read(lengths, source_of, max(answer.room for answer in self._batch))
        logits_UV = self._call(
            ids_T,
            positions_T,
            Documents.from_lengths(lengths, self._device),
            head=lambda hidden_TD, lm_head: lm_head(hidden_TD[last_U]),
            cache=self._slots,
        )
        self._joining = []
        return self._add(first, logits_UV if len(lengths) == len(source_of) else logits_UV[source_of])

    def _write(self) -> list[tuple[JobT, Chunk]]:
        """Write one more token of every answer."""
        # Row i of the cache is answer i of the batch: `_leave` keeps the two in step.
        last_B = torch.tensor([answer.last for answer in self._batch], device=self._device)
        positions_B, documents = self._slots.step()
        return self._add(0, self._call(last_B, positions_B, documents, cache=self._slots))

    def _add(self, first: int, logits_BV: Tensor) -> list[tuple[JobT, Chunk]]:
        """Choose tokens for the rows from `first` on; take those that end out of the batch."""
        answers = self._batch[first:]
        states = [answer.state for answer in answers]
        chosen = choose_tokens(logits_BV, states)
        tokens = map(ChosenToken, chosen, top_logprobs(logits_BV, chosen, states))
        chunks = [(answer.job, answer.add(token, self._end_ids)) for answer, token in zip(answers, tokens, strict=True)]
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
        return Slots(self._config.num_hidden_layers, self._most_tokens, self._device)
