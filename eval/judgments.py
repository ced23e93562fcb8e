"""One request to a judge and what came of it, and the files that hold them."""

from dataclasses import dataclass, field
from typing import Literal

from camelid.jsonl import Record
from eval.results import Mode

State = Literal["judged", "unparsed", "failed"]


@dataclass(frozen=True, slots=True)
class Judgment:
    """One judgment.

    Attributes:
        mode: how it was asked.
        question: the question's id.
        turn: the turn judged, from 1.
        models: the contestants' labels in the order the judge saw their answers: one in `single`, else two.
        judge: the judge's name, as the user gave it.
        scores: one number for each of `models`: the grades 1..10 (`single`, `vicuna`), or the shares of the win,
            which add up to 1 (`pairwise`: 1, 0 or 0.5 for a tie; `alpaca`: also probabilities). None if the reply
            holds no verdict, or there is no reply.
        text: the judge's raw reply; empty if there is none.
        failure: why there is no reply, e.g. "timeout: no reply within 600 s"; None if there is one.
        repeat: 0, or 1 if this is the second asking of the same request, for the audit; in no score.
        logprobs: of the verdict's token and its alternatives, where they were asked for (`alpaca`).
        tokens: (prompt, completion) tokens billed; (0, 0) if unknown.
        answered_by: the model name the provider reported.
    """

    mode: Mode
    question: str
    turn: int
    models: tuple[str, ...]
    judge: str
    scores: tuple[float, ...] | None
    text: str
    failure: str | None = None
    repeat: int = 0
    logprobs: dict[str, float] = field(default_factory=dict)
    tokens: tuple[int, int] = (0, 0)
    answered_by: str = ""

    @property
    def state(self) -> State:
        return "judged" if self.scores else "failed" if self.failure else "unparsed"

    def to_json(self) -> Record:
        """One line of a judgment file."""
        record: Record = {"mode": self.mode, "question_id": self.question, "turn": self.turn}
        record |= {"models": list(self.models), "judge": self.judge, "scores": self.scores and list(self.scores)}
        record |= {"judgment": self.text, "failure": self.failure, "repeat": self.repeat, "logprobs": self.logprobs}
        return {**record, "tokens": list(self.tokens), "answered_by": self.answered_by}
