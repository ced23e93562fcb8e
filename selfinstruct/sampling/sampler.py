"""K answers to each prompt, in order, each paid for once."""

import random
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from camelid.files.ledger import Ledger
from camelid.message import Message
from camelid.models.llm import FATAL, Failure, Reply, Request, complete_in_order
from camelid.models.model_run import ModelRun
from camelid.progress import Progress
from conversations.candidates import Candidates, SampledAnswer
from selfinstruct.sampling.prompts import PromptToAnswer

NO_ANSWER = "no answer"
CUT_OFF = "cut off by max_tokens"


@dataclass(frozen=True, slots=True)
class Asked:
    """A chat as a model is asked to go on with it; `context` as of a `SampledAnswer`."""

    messages: tuple[Message, ...]
    context: str = ""


@dataclass(frozen=True, slots=True)
class SamplingTask:
    """One record of candidates to be.

    Attributes:
        id: of the prompt.
        prompt: what the answers are scored with and trained after.
        asked: what the model is asked, K times each: the prompt itself, or the prompt with more.
        meta: of the record.
    """

    id: str
    prompt: tuple[Message, ...]
    asked: tuple[Asked, ...]
    meta: dict[str, Any] = field(default_factory=dict)


def plain_tasks(prompts: Iterable[PromptToAnswer]) -> Iterator[SamplingTask]:
    """Each prompt, asked as it is."""
    for prompt in prompts:
        yield SamplingTask(prompt.id, prompt.messages, (Asked(prompt.messages),), prompt.meta)


@dataclass
class Sampler:
    """Asks a model; complete when the candidates have been drawn.

    Attributes:
        model: who answers.
        answers: to each thing asked.
        temperatures: of the answers, in turn: the second answer has the second one, and so on around.
        max_tokens: most of one answer; None leaves it to the model.
        seed: of the sampling, where the model honours one.
        counts: what became of every answer that was asked for.
        prompts: and of every prompt.
        fatal: a failure after which nothing more will be answered.
    """

    model: ModelRun
    answers: int
    temperatures: Sequence[float]
    max_tokens: int | None = None
    seed: int = 0
    counts: Ledger = field(default_factory=lambda: Ledger("answers"))
    prompts: Ledger = field(default_factory=lambda: Ledger("prompts"))
    fatal: Failure | None = None

    async def run(self, tasks: Sequence[SamplingTask], bar: Progress) -> AsyncGenerator[Candidates, None]:
        """Yield the candidates of each task that got an answer, in order, until a failure is fatal."""
        asked = [(task, one, number) for task in tasks for one in task.asked for number in range(self.answers)]
        requests = (self._request(task, one, number) for task, one, number in asked)
        here: list[SampledAnswer] = []
        async with aclosing(complete_in_order(self.model, requests, self.model.concurrency)) as results:
            place = 0
            async for request, result in results:
                task, one, _ = asked[place]
                place += 1
                answer = await self._answer(request, result, one.context)
                if self.fatal:
                    return
                here += [answer] if answer else []
                if place == len(asked) or asked[place][0] is not task:
                    for candidates in self._finished(task, here):
                        yield candidates
                    here = []
                    bar.update(self.prompts.read, f"{self.counts.kept} answers | {self.model.facts()}")

    def _request(self, task: SamplingTask, asked: Asked, number: int) -> Request:
        """Each answer has a seed of its own: one for all prompts would draw the same luck for each."""
        seed = random.Random(f"{self.seed}/{task.id}/{asked.context}/{number}").getrandbits(31)
        return Request(
            asked.messages,
            temperature=self.temperatures[number % len(self.temperatures)],
            max_tokens=self.max_tokens,
            seed=seed,
            sample=number,
        )

    async def _answer(self, request: Request, result: Reply | Failure, context: str) -> SampledAnswer | None:
        """The answer, or None if there is none; a run goes on without it, in a replay too."""
        if isinstance(result, Failure):
            if result.kind in FATAL:
                self.fatal = result
                return None
            await self.model.keep(request, result)
            self.counts.drop(f"{NO_ANSWER}: {result.kind}", example=result.detail)
            return None
        self.counts.keep()
        if result.finish_reason == "length":
            self.counts.note(CUT_OFF)
        temperature = self.model.options.apply(request).temperature
        return SampledAnswer(result.text, result.model, temperature, result.finish_reason, context=context)

    def _finished(self, task: SamplingTask, answers: Sequence[SampledAnswer]) -> Iterator[Candidates]:
        if answers:
            self.prompts.keep()
            yield Candidates(task.id, task.prompt, tuple(answers), task.meta)
        else:
            self.prompts.drop(NO_ANSWER)
