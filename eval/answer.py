"""A model's answers to a question set: turn by turn, per-category temperatures, failures typed."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from camelid.errors import UserError
from camelid.jsonl import Record, read_jsonl
from camelid.llm import FATAL, LLM, Failure, Request
from camelid.progress import Progress
from conversations.message import Message
from eval.questions import Question

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


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said to one question.

    Attributes:
        question: the question's id.
        model: the label the user gave the model.
        turns: the answers it gave; fewer than the question has turns if a request failed.
        cut: for each answer, whether it ran into the token limit.
        failure: why an answer is missing, e.g. "timeout: no reply within 600 s"; None if none is.
    """

    question: str
    model: str
    turns: tuple[str, ...]
    cut: tuple[bool, ...]
    failure: str | None = None

    def to_json(self) -> Record:
        """FastChat's answer format (`choices[0].turns`) plus `cut` and `failure`."""
        record: Record = {"question_id": self.question, "model_id": self.model}
        record["choices"] = [{"index": 0, "turns": list(self.turns)}]
        return {**record, "cut": list(self.cut), "failure": self.failure}


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
        answers.append(Answer(question, model, turns, cut, record.get("failure")))
    return answers


async def answer_all(
    llm: LLM,
    label: str,
    questions: Sequence[Question],
    concurrency: int,
    temperature: float | None = None,
    max_tokens: int = MAX_TOKENS,
    quiet: bool = False,
) -> list[Answer]:
    """Ask every question.

    Args:
        llm: the contestant.
        label: its name in files and tables.
        questions: asked in any order, answered in this one.
        concurrency: questions in flight.
        temperature: for all; None takes `TEMPERATURES` by category.
        max_tokens: most tokens of one answer.
        quiet: no progress display.
    """
    gate = asyncio.Semaphore(concurrency)
    fatal: list[Failure] = []
    answers: list[Answer] = []

    async def one(question: Question) -> Answer:
        async with gate:
            heat = TEMPERATURES.get(question.category, DEFAULT_TEMPERATURE) if temperature is None else temperature
            answer = await _answer(llm, label, question, heat, max_tokens, fatal)
        answers.append(answer)
        bar.update(len(answers), f"{sum(answer.failure is not None for answer in answers)} failed")
        return answer

    with Progress(f"answer ({label})", len(questions), quiet) as bar:
        return await asyncio.gather(*(one(question) for question in questions))


async def _answer(
    llm: LLM, label: str, question: Question, temperature: float, max_tokens: int, fatal: list[Failure]
) -> Answer:
    """All turns of one question; the first failure ends it, and a fatal one ends the whole run."""
    messages: list[Message] = []
    said: list[str] = []
    cut: list[bool] = []
    for turn in question.turns:
        messages.append(Message("user", turn))
        request = Request(tuple(messages), temperature=temperature, max_tokens=max_tokens)
        result = fatal[0] if fatal else await llm.complete(request)
        if isinstance(result, Failure):
            if result.kind in FATAL and not fatal:
                fatal.append(result)
            return Answer(question.id, label, tuple(said), tuple(cut), f"{result.kind}: {result.detail}")
        messages.append(Message("assistant", result.text))
        said.append(result.text)
        cut.append(result.finish_reason == "length")
    return Answer(question.id, label, tuple(said), tuple(cut))
