"""Grades for answers, by any model behind the LLM protocol; every raw reply is kept."""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camelid.errors import UserError
from camelid.jsonl import Record, read_jsonl
from camelid.llm import FATAL, LLM, Failure, Reply, Request, complete_in_order
from camelid.progress import Progress
from eval import prompts
from eval.answer import Answer
from eval.questions import Question
from eval.verdict import parse_rating

MAX_TOKENS = 2048  # of a judge's reply; FastChat's common.py asks for the same


@dataclass(frozen=True, slots=True)
class Judgment:
    """One grade.

    Attributes:
        question: the question's id.
        model: the contestant's label.
        turn: the turn graded, from 1.
        judge: the judge's name.
        score: 1..10; None where the reply holds no grade or there is no reply.
        text: the judge's raw reply; empty if there is none.
        failure: why there is no reply; None if there is one.
    """

    question: str
    model: str
    turn: int
    judge: str
    score: float | None
    text: str
    failure: str | None = None

    def to_json(self) -> Record:
        """FastChat's single-answer judgment format plus `failure`."""
        return {
            "question_id": self.question,
            "model": self.model,
            "judge": [self.judge, "single"],
            "judgment": self.text,
            "score": self.score,
            "turn": self.turn,
            "failure": self.failure,
        }


def read_judgments(path: str | Path) -> list[Judgment]:
    """Read a judgment file, ours or FastChat's. The score is parsed anew from the raw reply."""
    judgments = []
    for place, record in read_jsonl(path):
        try:
            judgments.append(_from_json(record))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{place}: not a single-answer judgment ({error})") from None
    return judgments


def _from_json(record: dict[str, Any]) -> Judgment:
    judge, text = record["judge"], str(record["judgment"])
    name = str(judge[0] if isinstance(judge, list) else judge)
    question, model, turn = str(record["question_id"]), str(record["model"]), int(record["turn"])
    return Judgment(question, model, turn, name, parse_rating(text), text, record.get("failure"))


async def judge_all(
    llm: LLM, questions: Sequence[Question], answers: Sequence[Answer], concurrency: int, quiet: bool = False
) -> list[Judgment]:
    """Grade every answered turn, in the order of `answers`.

    An answer that is missing is not graded and appears in no mean; the report counts it.

    Args:
        llm: the judge; temperature 0, as MT-bench asks it.
        questions: the set the answers belong to.
        answers: of any number of models.
        concurrency: requests in flight.
        quiet: no progress display.

    Raises:
        UserError: an answer is to a question that is not in the set.
    """
    known = {question.id: question for question in questions}
    asked: list[tuple[Answer, int, Request]] = []
    for answer in answers:
        if answer.question not in known:
            raise UserError(f"{answer.model}: answers question {answer.question!r}, which is not in the question file")
        for turn in range(len(answer.turns)):
            messages = prompts.single(known[answer.question], answer.turns, turn)
            asked.append((answer, turn, Request(messages, temperature=0.0, max_tokens=MAX_TOKENS)))
    judgments: list[Judgment] = []
    fatal: Failure | None = None
    without = 0
    with Progress("judge", len(asked), quiet) as bar:
        async with aclosing(complete_in_order(llm, (request for _, _, request in asked), concurrency)) as results:
            async for _, result in results:
                answer, turn, _ = asked[len(judgments)]
                judgments.append(_judgment(answer, turn, llm.name, result))
                without += judgments[-1].score is None
                bar.update(len(judgments), f"{without} without a grade")
                if isinstance(result, Failure) and result.kind in FATAL:
                    fatal = result
                    break
    if fatal:
        rest = asked[len(judgments) :]
        judgments += [_judgment(answer, turn, llm.name, fatal) for answer, turn, _ in rest]
    return judgments


def _judgment(answer: Answer, turn: int, judge: str, result: Reply | Failure) -> Judgment:
    if isinstance(result, Failure):
        failure = f"{result.kind}: {result.detail}"
        return Judgment(answer.question, answer.model, turn + 1, judge, None, "", failure)
    return Judgment(answer.question, answer.model, turn + 1, judge, parse_rating(result.text), result.text)
