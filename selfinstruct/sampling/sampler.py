"""K answers to each prompt, in order, each paid for once."""

import random
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from camelid.files.ledger import Ledger
from camelid.message import Message
from camelid.models.llm import FATAL, Failure, Reply, Request, complete_in_order
from camelid.models.model_run import ModelRun
from camelid.progress import Progress
from conversations.candidates import Candidates, SampledAnswer
from conversations.prompts import PromptToAnswer

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
        earlier: and of every answer that `answer_anew` asked for.
        fatal: a failure after which nothing more will be answered.
    """

    model: ModelRun
    answers: int
    temperatures: Sequence[float]
    max_tokens: int | None = None
    seed: int = 0
    counts: Ledger = field(default_factory=lambda: Ledger("answers"))
    prompts: Ledger = field(default_factory=lambda: Ledger("prompts"))
    earlier: Ledger = field(default_factory=lambda: Ledger("earlier answers"))
    fatal: Failure | None = None

    async def answer_anew(self, tasks: Sequence[SamplingTask]) -> list[SamplingTask]:
        """The tasks with every answer in their chats given by the model itself, turn by turn; not those it fails at.

        What is asked goes by the answers that were given before, and so does the prompt, whose turns must stand where
        those of the one thing asked stand.
        """
        open_tasks = list(tasks)
        longest = max((len(task.prompt) for task in open_tasks), default=0)
        for turn in range(longest):
            waiting = [at for at, task in enumerate(open_tasks) if turn < len(task.prompt) and _answers_at(task, turn)]
            requests = (
                self._request(open_tasks[at], Asked(open_tasks[at].asked[0].messages[:turn]), 0) for at in waiting
            )
            failed = set[int]()
            async with aclosing(complete_in_order(self.model, requests, self.model.concurrency)) as results:
                places = iter(waiting)
                async for request, result in results:
                    at = next(places)
                    answer = await self._answer(request, result, "", self.earlier)
                    if self.fatal:
                        return []
                    if answer is None:
                        failed.add(at)
                        self.prompts.drop(f"{NO_ANSWER} to an earlier turn")
                    else:
                        open_tasks[at] = _said_at(open_tasks[at], turn, answer.content)
            open_tasks = [task for at, task in enumerate(open_tasks) if at not in failed]
        return open_tasks

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
                answer = await self._answer(request, result, one.context, self.counts)
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

    async def _answer(
        self, request: Request, result: Reply | Failure, context: str, counts: Ledger
    ) -> SampledAnswer | None:
        """The answer, or None if there is none; a run goes on without it, in a replay too."""
        if isinstance(result, Failure):
            if result.kind in FATAL:
                self.fatal = result
                return None
            await self.model.keep(request, result)
            counts.drop(f"{NO_ANSWER}: {result.kind}", example=result.detail)
            return None
        counts.keep()
        if result.finish_reason == "length":
            counts.note(CUT_OFF)
        temperature = self.model.options.apply(request).temperature
        return SampledAnswer(result.text, result.model, temperature, result.finish_reason, context=context)

    def _finished(self, task: SamplingTask, answers: Sequence[SampledAnswer]) -> Iterator[Candidates]:
        if answers:
            self.prompts.keep()
            yield Candidates(task.id, task.prompt, tuple(answers), task.meta)
        else:
            self.prompts.drop(NO_ANSWER)


def _answers_at(task: SamplingTask, turn: int) -> bool:
    return task.prompt[turn].role == "assistant"


def _said_at(task: SamplingTask, turn: int, text: str) -> SamplingTask:
    """The task with another answer at a turn."""

    def said(messages: tuple[Message, ...]) -> tuple[Message, ...]:
        return (*messages[:turn], Message("assistant", text, messages[turn].weight), *messages[turn + 1 :])

    asked = tuple(replace(one, messages=said(one.messages)) for one in task.asked)
    return replace(task, prompt=said(task.prompt), asked=asked)
