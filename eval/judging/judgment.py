"""One request to a judge and what came of it."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from camelid.files.read import Record
from eval.ask.questions import Question

State = Literal["judged", "unparsed", "failed"]


@dataclass(frozen=True, slots=True)
class Judgment:
    """One judgment.

    Attributes:
        mode: how it was asked: a name of `eval.judging.modes.table.MODES`.
        question: the question's id.
        turn: the turn judged, from 1.
        models: the contestants' labels in the order the judge saw their answers: one, or two that are compared.
        judge: the judge's name, as the user gave it.
        scores: one number for each of `models`: the grades, or the shares of the win, which add up to 1 (see `verdict`
            of the mode). None if the reply holds no verdict, or there is no reply.
        text: the judge's raw reply; empty if there is none.
        failure: why there is no reply, e.g. "timeout: no reply within 600 s"; None if there is one.
        repeat: 0, or 1 if this is the second asking of the same request, for the audit; in no score.
        logprobs: of the verdict's token and its alternatives, where they were asked for (`tokens` of the mode).
        tokens: (prompt, completion) tokens billed; (0, 0) if unknown.
        answered_by: the model name the provider reported.
        baseline: the label that the run compared all others with; None if there was none.
        subject: see `subject_hash`, of what was judged; empty if unknown.
        finish_reason: why the reply ends: "stop" or "length" (cut off by the token limit); empty if unknown.
        prompt: what the judge read: its instructions and then the material, or all in one text; empty if unknown.
        prompt_version: of the instructions: the file's name and a digest of it; empty if they aren't ours.
        parameters: of the request: temperature, max_tokens and whatever else it asked for; empty if unknown.
        answers: what was judged, one text for each of `models`, in published files that say so; else empty.
        stored: the scores that a published file holds beside the reply; None if it holds none.
        time: when it was made, in seconds since 1970; 0 if unknown.
    """

    mode: str
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
    baseline: str | None = None
    subject: str = ""
    finish_reason: str = ""
    prompt: tuple[str, ...] = ()
    prompt_version: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    answers: tuple[str, ...] = ()
    stored: tuple[float, ...] | None = None
    time: float = 0.0

    @property
    def state(self) -> State:
        return "judged" if self.scores else "failed" if self.failure else "unparsed"

    def to_json(self) -> Record:
        """One line of a judgment file of ours, which needs nothing of what only published files hold."""
        record = asdict(self)
        for name in ("answers", "stored", "time"):
            del record[name]
        return record


def subject_hash(question: Question, turns: Sequence[Sequence[str]], turn: int) -> str:
    """A digest of what a judge gets to see: it tells whether a judgment is of the answers at hand.

    Args:
        question: with its references.
        turns: the answers of each model, in the order of showing.
        turn: which one is judged, from 0.
    """
    seen: list[object] = [question.turns[: turn + 1], question.references[: turn + 1]]
    seen.append([said[: turn + 1] for said in turns])
    if question.system:
        seen.append(question.system)
    if question.task:
        seen.append(question.task.program(""))
    return hashlib.sha256(json.dumps(seen).encode()).hexdigest()[:16]
