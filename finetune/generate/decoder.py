"""The one decoder: answers join and leave a running batch between passes of the model. It has no threads.

An answer is the same whatever else is in the batch, on whichever process: its random source is its own.
Shapes: B answers in the batch, V vocabulary.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic

import numpy as np
import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from camelid.errors import UserError
from finetune.generate.answering import Answering, DecoderJob, JobT
from finetune.generate.chunk import ChosenToken, Chunk
from finetune.generate.low_rank import LowRankAdapter
from finetune.generate.prefix import LEAST, KeptPrefixes, Prefix, common
from finetune.generate.read_prompts import PromptHead
from finetune.generate.recorded_steps import RecordedSteps, can_record
from finetune.generate.sampling import SamplingState, choose_tokens, top_logprobs
from finetune.generate.slots import STEP, Slots
from finetune.llama.attention import Documents
from finetune.llama.model import Head, Llama

READ_AT_ONCE = 4096  # prompt tokens of one forward pass, unless a single prompt is longer; bounds its memory
PIECE = 1024  # of a longer prompt, where prompts are read piece by piece; who is being answered waits for one
SHARED = 64  # tokens that prompts must share for one to wait until the other has been read


@dataclass(frozen=True, eq=False)
class _Joining(Generic[JobT]):
    """A job that joins the batch, and what is known of its prompt."""

    job: JobT
    prefix: Prefix | None

    @property
    def known(self) -> int:
        return self.prefix.tokens if self.prefix else 0

    @property
    def new(self) -> list[int]:
        return self.job.prompt[self.known :]

    @property
    def alike(self) -> tuple[object, int, tuple[int, ...]]:
        """What is the same of jobs that are read once for all."""
        return id(self.job.adapter), self.known, tuple(self.job.prompt)


class Decoder(Generic[JobT]):
    """Writes answers with one model, a pass at a time.

    Args:
        model: in eval mode while it is stepped. Where its weights are cut over processes, all make the same passes
            (see `answer_jobs` in `finetune.generate.decode`).
        tokenizer: decodes the answers; None leaves their texts empty, and takes no stop strings.
        end_ids: tokens that end an answer (end of sequence, end of turn).
        most_batch: answers written at once.
        most_tokens: tokens of room in the cache, over all answers.
        call: what is called in place of `model`, where wrappers around it must be (`fully_shard` with an adapter).
            Where jobs have adapters of their own, it is told them, `adapters=[...]`, one for each document. What is
            called so is never recorded (`recorded_steps`): it may do other things each time.
        device: where it computes, if its weights lie elsewhere.
        kept_tokens: beside the cache, tokens of prompts and answers whose keys and values are kept, so that prompts
            that begin like them are read from there on. Then long prompts are read piece by piece, too. The order of
            sums differs by that, so answers are equal to float accuracy only. 0 = none of it.

    Attributes:
        most_batch: as given.
        read_tokens: of prompts, by all passes so far.
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
        kept_tokens: int = 0,
    ) -> None:
        if model.config.num_labels:
            raise UserError("a reward model gives scores and says nothing; score answers with `camelid finetune score`")
        self._config, self._tokenizer, self._end_ids = model.config, tokenizer, frozenset(end_ids)
        self.most_batch, self._most_tokens = most_batch, most_tokens
        self._call = model if call is None else call
        self._device = model.lm_head.weight.device if device is None else device
        # Weights that `fully_shard` gathers stay in its buffers, which training uses again: not with inference tensors.
        cut = any(isinstance(weight, DTensor) for weight in model.parameters())
        self._mode = torch.no_grad if cut else torch.inference_mode
        self._records = call is None and can_record(model, model.config, self._device)
        self._slots, self._steps = self._new_slots()
        self._batch: list[Answering[JobT]] = []
        self._waiting: deque[JobT] = deque()
        self._joining: list[_Joining[JobT]] = []  # out of the queue, not yet surely in the batch
        # Keys that `dynamic` turns depend on how long their sequence becomes.
        keeps = kept_tokens > 0 and model.config.rope_type != "dynamic"
        self._kept = KeptPrefixes(kept_tokens) if keeps else None
        self._begun: tuple[JobT, Prefix] | None = None  # a long prompt that waits, read in part
        self.read_tokens = 0
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
        return self._slots.bytes + (self._kept.bytes if self._kept else 0)

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
        follow each other while answers are being written: these wait for one at most, which READ_AT_ONCE bounds, or
        PIECE of a long prompt.
        """
        with self._mode():
            self._drop_cancelled()
            if not (self._batch and self._has_read):
                if self._read_piece():
                    self._has_read = True
                    return []
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
        jobs = {id(job): job for job in [*(each.job for each in self._batch), *(each.job for each in self._joining)]}
        self._batch, self._joining, self._begun = [], [], None
        self._slots, self._steps = self._new_slots()
        return list(jobs.values())

    def forget(self, adapter: LowRankAdapter) -> None:
        """Keep nothing of what was read with an adapter. Not while `step` runs."""
        if self._kept is not None:
            self._kept.forget(adapter)

    def _drop_cancelled(self) -> None:
        if any(job.cancelled for job in self._waiting):
            self._waiting = deque(job for job in self._waiting if not job.cancelled)
        for row in reversed(range(len(self._batch))):  # backwards: `_leave` moves the last row into the free one
            if self._batch[row].job.cancelled:
                self._leave(row)
        if self._begun is not None and self._begun[0].cancelled:
            self._begun = None

    def _admitted(self) -> list[_Joining[JobT]]:
        """Take as many jobs that wait, in order, as there is room for and one forward pass may read."""
        admitted: list[_Joining[JobT]] = []
        if not self._waiting:
            return admitted
        prompts: set[object] = set()
        longest = max((answer.room for answer in self._batch), default=0)
        reading = 0
        while self._waiting and len(self._batch) + len(admitted) < self.most_batch:
            longest = max(longest, self._room(self._waiting[0]))
            if not self._slots.fits(len(self._batch) + len(admitted) + 1, longest):
                break
            joining = self._find(self._waiting[0])
            reading += 0 if joining.alike in prompts else len(joining.new)
            # In order, even if a shorter one behind would fit: else a long prompt would wait for ever. The first one
            # always may be read, however long, or it never would.
            if admitted and (reading > READ_AT_ONCE or self._shares(joining, admitted)):
                break
            prompts.add(joining.alike)
            admitted.append(joining)
            self._waiting.popleft()
        return admitted

    def _find(self, job: JobT) -> _Joining[JobT]:
        """A job with the longest beginning of its prompt that is known: kept, or in the batch."""
        if self._kept is None or job.sampling.prompt_logprobs is not None:
            return _Joining(job, None)
        if self._begun is not None and self._begun[0] is job:
            return _Joining(job, self._begun[1])
        best = self._kept.find(job.prompt, job.adapter)
        wanted, length = np.asarray(job.prompt[:-1]), max(LEAST - 1, best.tokens if best else 0)
        for row, answer in enumerate(self._batch):
            if answer.job.adapter is job.adapter and (shared := common(answer.prompt_ids, wanted)) > length:
                best, length = self._slots.prefix(row).first(shared), shared
        return _Joining(job, best)

    def _shares(self, joining: _Joining[JobT], others: Sequence[_Joining[JobT]]) -> bool:
        """Whether a prompt that is about to be read begins so much like another one that it had better wait for it."""
        if self._kept is None or joining.job.sampling.prompt_logprobs is not None:
            return False
        job = joining.job
        for other in (each.job for each in others):
            alike = other.adapter is job.adapter and other.prompt[:LEAST] == job.prompt[:LEAST]
            if alike and other.prompt != job.prompt:
                shared = common(np.asarray(other.prompt), np.asarray(job.prompt))
                if shared - joining.known >= SHARED:
                    return True
        return False

    def _room(self, job: JobT) -> int:
        return self.room(len(job.prompt), job.sampling.max_new_tokens)

    def _read_piece(self) -> bool:
        """Read a piece of the long prompt that is next, if one is; with less than a piece left, it joins the batch."""
        if self._kept is None or not self._waiting or len(self._batch) == self.most_batch:
            return False
        longest = max([self._room(self._waiting[0]), *(answer.room for answer in self._batch)])
        if not self._slots.fits(len(self._batch) + 1, longest):
            return False
        joining = self._find(self._waiting[0])
        if len(joining.new) <= PIECE or joining.job.sampling.prompt_logprobs is not None:
            return False
        self._joining = [joining]
        self._waiting.popleft()
        piece = joining.new[:PIECE]
        slots, _ = self._new_slots()
        slots.read([PIECE], [0], joining.known + PIECE, [joining.prefix])
        self._pass([piece], [joining], lambda hidden_TD, _: hidden_TD[:0], slots, whole=False)
        self._begun = joining.job, slots.prefix(0)
        self._joining = []
        self._waiting.appendleft(joining.job)
        return True

    def _read(self) -> list[tuple[JobT, Chunk]]:
        """Read the prompts of the jobs that join, each once, and write the first token of each answer."""
        first = len(self._batch)
        for each in self._joining:
            job = each.job
            state = SamplingState(job.sampling, job.prompt, job.seed, self._config.vocab_size, self._device)
            self._batch.append(Answering(job, self._tokenizer, self._room(job), state, each.known))
        number_of: dict[object, int] = {}
        source_of = [number_of.setdefault(each.alike, len(number_of)) for each in self._joining]
        sources = [self._joining[source_of.index(number)] for number in range(len(number_of))]
        new = [source.new for source in sources]
        asked = _asked(source_of, [each.job for each in self._joining])
        head = PromptHead(new, asked)
        longest = max(answer.room for answer in self._batch)
        self._slots.read([len(ids) for ids in new], source_of, longest, [source.prefix for source in sources])
        logits_UV = self._pass(new, sources, head, self._slots, whole=bool(asked))
        for answer, number in zip(self._batch[first:], source_of, strict=True):
            if answer.job.sampling.prompt_logprobs is not None:
                answer.prompt = head.tokens[number]
        self._joining, self._begun = [], None
        return self._add(first, logits_UV if len(new) == len(source_of) else logits_UV[source_of])

    def _pass(
        self, new: Sequence[Sequence[int]], sources: Sequence[_Joining[JobT]], head: Head, slots: Slots, whole: bool
    ) -> Tensor:
        """A pass over new tokens of prompts, each behind what is known of it.

        Args:
            new: tokens of each prompt.
            sources: the jobs that bring them.
            head: makes what is returned.
            slots: gets keys and values.
            whole: whether `head` looks at more than each prompt's last token.
        """
        self.read_tokens += sum(map(len, new))
        ids_T = torch.tensor([token for ids in new for token in ids], device=self._device)
        starts = [source.known for source in sources]
        places = (torch.arange(start, start + len(ids)) for start, ids in zip(starts, new, strict=True))
        positions_T = torch.cat(list(places)).to(self._device)
        documents = Documents.from_lengths([len(ids) for ids in new], self._device)
        adapters = self._adapters([source.job for source in sources])
        # Jobs' own adapters are added to what each layer makes of every token.
        read_N = None if whole or adapters else documents.starts[1:].long() - 1
        return self._call(ids_T, positions_T, documents, head=head, cache=slots, read_N=read_N, **adapters)

    def _adapters(self, jobs: Iterable[JobT]) -> dict[str, Any]:
        """What `call` is told of the adapters of a pass's sequences, if there are any."""
        adapters = [job.adapter for job in jobs]
        return {"adapters": adapters} if any(adapter is not None for adapter in adapters) else {}

    def _write(self) -> list[tuple[JobT, Chunk]]:
        """Write one more token of every answer."""
        # Row i of the cache is answer i of the batch: `_leave` keeps the two in step.
        last = [answer.ids[-1] for answer in self._batch]
        adapters = self._adapters(answer.job for answer in self._batch)
        if self._steps is not None and not adapters:
            return self._add(0, self._steps.logits(last))
        positions_B, documents = self._slots.step()
        last_B = torch.tensor(last, device=self._device)
        return self._add(0, self._call(last_B, positions_B, documents, cache=self._slots, **adapters))

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
        if self._kept is not None:
            answer, used = self._batch[row], self._slots.lengths[row]
            self._kept.add((answer.job.prompt + answer.ids)[:used], answer.job.adapter, self._slots.prefix(row))
        self._slots.leave(row)
        last = self._batch.pop()
        if row < len(self._batch):
            self._batch[row] = last

    def _new_slots(self) -> tuple[Slots, RecordedSteps | None]:
        slots = Slots(self._config.num_hidden_layers, self._most_tokens, self._device)
        return slots, RecordedSteps(self._call, slots, self._device) if self._records else None


def _asked(numbers: Sequence[int], jobs: Sequence[DecoderJob]) -> dict[int, int]:
    """Of prompts, by number, how many likeliest tokens are wanted at each of their tokens, where any are."""
    asked: dict[int, int] = {}
    for number, job in zip(numbers, jobs, strict=True):
        if (most := job.sampling.prompt_logprobs) is not None:
            asked[number] = max(most, asked.get(number, 0))
    return asked
