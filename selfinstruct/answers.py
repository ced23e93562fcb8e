"""Answers asked for apart from their tasks: by another model, longer, or the best of several."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from camelid.message import Message
from camelid.models.llm import FATAL, Failure, Reply, Request
from camelid.models.model_run import ModelRun
from conversations.candidates import Candidates, SampledAnswer
from selfinstruct.keep.quality import Quality
from selfinstruct.keep.rules import reason_to_drop_answer
from selfinstruct.seeds import Task

TEMPERATURE = 0.7  # where one answer is asked for
# Ours; the best of 10 to 100 was found at 1.2 to 1.3 (LLaMA 2, Touvron et al. 2023, section 3.2.3).
TEMPERATURE_OF_SEVERAL = 1.0
CUT_OFF, NO_ANSWER = "answer cut off by max_tokens", "no answer"


@dataclass
class Answerer:
    """Answers tasks, and keeps all that was answered.

    Attributes:
        model: who answers.
        tokens: most of one answer; None leaves it to the model.
        count: answers to each task, of which the best is taken.
        judge: scores them; needed for more than one.
        candidates: each task with all its answers and their scores.
        fatal: a failure after which nothing more will be answered.
    """

    model: ModelRun
    tokens: int | None = None
    count: int = 1
    judge: Quality | None = None
    candidates: list[Candidates] = field(default_factory=list)
    fatal: Failure | None = None

    async def answer_all(self, tasks: Sequence[Task]) -> list[Task | str]:
        """Each task with the best answer, or why there is none; all are asked at the same time."""
        answered = await asyncio.gather(*(self._answers(task) for task in tasks))
        return [self._choose(task, answers) for task, answers in zip(tasks, answered, strict=True)]

    async def _answers(self, task: Task) -> list[tuple[Reply | Failure, float | None]]:
        """The replies with the scores of those that are whole answers, where they are scored."""
        results = await asyncio.gather(*(self._ask(self._request(task, n)) for n in range(self.count)))
        return list(zip(results, await asyncio.gather(*(self._score(task, result) for result in results)), strict=True))

    async def _ask(self, request: Request) -> Reply | Failure:
        result = await self.model.complete(request)
        if isinstance(result, Failure) and result.kind not in FATAL:
            await self.model.keep(request, result)  # the run goes on without it, in a replay too
        return result

    async def _score(self, task: Task, result: Reply | Failure) -> float | None:
        if self.judge is None or self.count == 1 or _fault(task, result):
            return None
        assert isinstance(result, Reply)
        return await self.judge.score(_answered(task, result))

    def _choose(self, task: Task, answers: Sequence[tuple[Reply | Failure, float | None]]) -> Task | str:
        for result, _ in answers:
            if isinstance(result, Failure) and result.kind in FATAL:
                self.fatal = result
        replies = [(result, score) for result, score in answers if isinstance(result, Reply)]
        if replies:
            self.candidates.append(self._candidates(task, replies))
        whole = [(score or 0.0, _answered(task, reply)) for reply, score in replies if not _fault(task, reply)]
        if whole:
            return max(whole, key=lambda scored: scored[0])[1]  # of equal ones the first
        return next((fault for result, _ in answers if (fault := _fault(task, result))), NO_ANSWER)

    @property
    def _temperature(self) -> float:
        return TEMPERATURE if self.count == 1 else TEMPERATURE_OF_SEVERAL

    def _request(self, task: Task, number: int) -> Request:
        return Request(
            _messages(task), temperature=self._temperature, max_tokens=self.tokens, seed=number, sample=number
        )

    def _candidates(self, task: Task, replies: Sequence[tuple[Reply, float | None]]) -> Candidates:
        temperature = self.model.options.apply(self._request(task, 0)).temperature
        answers = tuple(
            SampledAnswer(
                reply.text, reply.model, temperature, reply.finish_reason, {} if score is None else {"quality": score}
            )
            for reply, score in replies
        )
        return Candidates(f"candidates_{len(self.candidates):06d}", _messages(task), answers)


def _messages(task: Task) -> tuple[Message, ...]:
    return (Message("user", "\n\n".join(filter(None, (task.instruction, task.input)))),)


def _answered(task: Task, reply: Reply) -> Task:
    return replace(task, output=reply.text.strip())


def _fault(task: Task, result: Reply | Failure) -> str | None:
    """Why a result is no answer, or None."""
    if isinstance(result, Failure):
        return f"{NO_ANSWER}: {result.kind}"
    return CUT_OFF if result.finish_reason == "length" else reason_to_drop_answer(_answered(task, result))
