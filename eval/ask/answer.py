"""A model's answers to a question set: turn by turn, per-category temperatures, failures typed."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from camelid.errors import UserError
from camelid.files.read import Record, read_jsonl
from camelid.message import Message
from camelid.models.llm import Failure, Reply, Request, Usage
from camelid.models.model_run import ModelRun
from camelid.models.spend import CostEstimate
from camelid.progress import Progress
from eval.ask.questions import Question

# Sampling temperature per category and the default for all others: github.com/lm-sys/FastChat,
# fastchat/llm_judge/common.py, `temperature_config`, and gen_model_answer.py.
TEMPERATURES = {
    "writing": 0.7,
    "roleplay": 0.7,
    "extraction": 0.0,
    "math": 0.0,
    "coding": 0.0,
    "reasoning": 0.0,
    "stem": 0.1,
    "humanities": 0.1,
}
DEFAULT_TEMPERATURE = 0.7
MAX_TOKENS = 1024  # FastChat, gen_model_answer.py, --max-new-token
SAMPLED = 20  # questions answered for an estimate


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said to one question.

    Attributes:
        question: the question's id.
        model: the label the user gave the model.
        turns: the answers it gave; fewer than the question has turns if a request failed.
        cut: for each answer, whether it ran into the token limit.
        failure: why an answer is missing, e.g. "timeout: no reply within 600 s"; None if none is.
        usage: tokens billed for all turns; zeros if unknown.
        id: of the answer itself, in Vicuna's files, whose reviews name it.
    """

    question: str
    model: str
    turns: tuple[str, ...]
    cut: tuple[bool, ...]
    failure: str | None = None
    usage: Usage = field(default_factory=Usage)
    id: str = ""

    def to_json(self) -> Record:
        """FastChat's answer format (`choices[0].turns`) plus `cut`, `failure` and `tokens` (prompt, completion)."""
        record: Record = {"question_id": self.question, "model_id": self.model}
        record["choices"] = [{"index": 0, "turns": list(self.turns)}]
        tokens = [self.usage.prompt_tokens, self.usage.completion_tokens]
        return {**record, "cut": list(self.cut), "failure": self.failure, "tokens": tokens}


def read_answers(path: str | Path) -> list[Answer]:
    """Read an answer file: ours, MT-bench's (`choices[0].turns`) or Vicuna's (`text`).

    Raises:
        UserError: a line is none of these.
    """
    answers = []
    for place, record in read_jsonl(path):
        try:
            said = [record["text"]] if "text" in record else record["choices"][0]["turns"]
            turns = tuple(str(turn) for turn in said)
            question, model = str(record["question_id"]), str(record["model_id"])
        except (KeyError, IndexError, TypeError):
            raise UserError(
                f"{place}: not an answer; needs question_id, model_id, and choices[0].turns or text"
            ) from None
        cut = tuple(record.get("cut") or [False] * len(turns))
        usage = Usage(*record.get("tokens", ()))
        own = str(record.get("answer_id", ""))
        answers.append(Answer(question, model, turns, cut, record.get("failure"), usage, own))
    return answers


async def answer_all(
    model: ModelRun,
    label: str,
    questions: Sequence[Question],
    temperature: float | None = None,
    max_tokens: int = MAX_TOKENS,
    quiet: bool = False,
) -> list[Answer]:
    """Ask every question.

    Args:
        model: the contestant.
        label: its name in files and tables.
        questions: asked in any order, answered in this one.
        temperature: for all; None takes `TEMPERATURES` by category.
        max_tokens: most tokens of one answer.
        quiet: no progress display.
    """
    gate = asyncio.Semaphore(model.concurrency)
    estimate = CostEstimate(model.price, len(questions))
    done = failed = 0
    stopping = False

    async def one(question: Question) -> Answer:
        nonlocal done, failed
        async with gate:
            if stopping:
                raise asyncio.CancelledError
            heat = TEMPERATURES.get(question.category, DEFAULT_TEMPERATURE) if temperature is None else temperature
            answer = await _answer(model, label, question, heat, max_tokens)
        done += 1
        failed += answer.failure is not None
        add_answer(estimate, answer)
        bar.update(done, f"{failed} failed | {model.facts()} | {estimate.facts()}")
        return answer

    with Progress(f"answer ({label})", len(questions), quiet) as bar:
        tasks = [asyncio.create_task(one(question)) for question in questions]
        try:
            return await asyncio.shield(asyncio.gather(*tasks))
        finally:  # an interrupted run still awaits what it has paid for, unless that may take hours
            stopping = True
            for task in tasks if model.batch else ():
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def estimate_all(
    model: ModelRun,
    label: str,
    questions: Sequence[Question],
    temperature: float | None = None,
    max_tokens: int = MAX_TOKENS,
    quiet: bool = False,
) -> CostEstimate:
    """What `answer_all` will cost, from the answers to `SAMPLED` of the questions; the journal keeps them for it."""
    estimate = CostEstimate(model.price, len(questions))
    for answer in await answer_all(model, label, sample_evenly(questions, SAMPLED), temperature, max_tokens, quiet):
        add_answer(estimate, answer)
    return estimate


def sample_evenly(questions: Sequence[Question], count: int) -> list[Question]:
    """So many questions, evenly over the file and so over its categories."""
    count = min(count, len(questions))
    return [questions[index * len(questions) // count] for index in range(count)]


def add_answer(estimate: CostEstimate, answer: Answer) -> None:
    """Count an answer's tokens, and one question as done unless it failed."""
    estimate.add(Reply("", answer.model, usage=answer.usage), done=answer.failure is None)


async def _answer(model: ModelRun, label: str, question: Question, temperature: float, max_tokens: int) -> Answer:
    """All turns of one question; the first failure ends it."""
    messages: list[Message] = []
    said: list[str] = []
    cut: list[bool] = []
    usage = Usage()
    for turn in question.turns:
        messages.append(Message("user", turn))
        result = await model.complete(Request(tuple(messages), temperature=temperature, max_tokens=max_tokens))
        usage += result.usage
        if isinstance(result, Failure):
            return Answer(question.id, label, tuple(said), tuple(cut), f"{result.kind}: {result.detail}", usage)
        messages.append(Message("assistant", result.text))
        said.append(result.text)
        cut.append(result.finish_reason == "length")
    return Answer(question.id, label, tuple(said), tuple(cut), usage=usage)
