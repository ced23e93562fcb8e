"""One request to a judge and what came of it, and the files that hold them: ours and the published ones."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from camelid.errors import UserError, suggest_name
from camelid.files.read import Record
from conversations.formats.readers import read_records
from eval.ask.questions import Question
from eval.judging.modes.alpaca import ALPACA
from eval.judging.modes.mode import read_reply
from eval.judging.modes.pairwise import PAIRWISE
from eval.judging.modes.single import SINGLE
from eval.judging.modes.table import MODES
from eval.judging.modes.vicuna import VICUNA

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

    @property
    def state(self) -> State:
        return "judged" if self.scores else "failed" if self.failure else "unparsed"

    def to_json(self) -> Record:
        """One line of a judgment file."""
        return asdict(self)


def subject_hash(question: Question, turns: Sequence[Sequence[str]], turn: int) -> str:
    """A digest of what a judge gets to see: it tells whether a judgment is of the answers at hand.

    Args:
        question: with its references.
        turns: the answers of each model, in the order of showing.
        turn: which one is judged, from 0.
    """
    seen = [question.turns[: turn + 1], question.references[: turn + 1], [said[: turn + 1] for said in turns]]
    return hashlib.sha256(json.dumps(seen).encode()).hexdigest()[:16]


def read_judgments(
    path: str | Path, questions: Sequence[Question] = (), authors: Mapping[str, str] | None = None
) -> list[Judgment]:
    """Read a judgment file: ours, FastChat's single or pairwise, Vicuna's reviews, or AlpacaEval's annotations.

    Verdicts are read anew from the raw replies, so a better parser costs nothing. Only AlpacaEval's keep their stored
    preference, since the log-probabilities behind it are rarely stored.

    Args:
        path: JSON Lines or a JSON array.
        questions: to find the question of an AlpacaEval annotation, which has only its text.
        authors: answer id -> model label, for Vicuna's reviews; without it the label comes from the file's name
            (`review_FIRST_SECOND.jsonl`).

    Raises:
        UserError: a line is none of these.
    """
    ids = {question.turns[0]: question.id for question in questions}
    judgments: list[Judgment] = []
    for place, record in read_records(path):
        try:
            judgments += _reader(record)(record, Path(path), ids, authors or {})
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise UserError(f"{place}: not a judgment ({type(error).__name__}: {error})") from None
    return judgments


Reader = Callable[[Record, Path, Mapping[str, str], Mapping[str, str]], list[Judgment]]


def _reader(record: Record) -> Reader:
    if "models" in record:
        return _ours
    if "g1_judgment" in record:
        return _fastchat_pair
    if "reviewer_id" in record:
        return _vicuna_review
    return _alpaca_eval if "generator_2" in record else _fastchat_single


def _ours(record: Record, path: Path, ids: Mapping[str, str], authors: Mapping[str, str]) -> list[Judgment]:
    fields: dict[str, Any] = {**record, "models": tuple(record["models"]), "tokens": tuple(record["tokens"])}
    fields["prompt"] = tuple(record.get("prompt", ()))
    if record["mode"] not in MODES:
        raise ValueError(f"no mode is called {record['mode']!r}{suggest_name(record['mode'], MODES)}")
    mode, ended = MODES[record["mode"]], record.get("finish_reason", "")
    fields["scores"] = None if record["failure"] else read_reply(mode, record["text"], record["logprobs"], ended)
    return [Judgment(**fields)]


def _fastchat_single(record: Record, path: Path, ids: Mapping[str, str], authors: Mapping[str, str]) -> list[Judgment]:
    text, model = str(record["judgment"]), str(record["model"])
    question, turn, judge = str(record["question_id"]), int(record["turn"]), _judge_name(record["judge"])
    return [Judgment(SINGLE.name, question, turn, (model,), judge, SINGLE.parse(text, {}), text)]


def _fastchat_pair(record: Record, path: Path, ids: Mapping[str, str], authors: Mapping[str, str]) -> list[Judgment]:
    models = (str(record["model_1"]), str(record["model_2"]))
    question, turn, judge = str(record["question_id"]), int(record["turn"]), _judge_name(record["judge"])
    texts = [str(record[f"{game}_judgment"]) for game in ("g1", "g2")]
    return [
        Judgment(PAIRWISE.name, question, turn, order, judge, PAIRWISE.parse(text, {}), text)
        for order, text in zip((models, models[::-1]), texts, strict=True)
    ]


def _vicuna_review(record: Record, path: Path, ids: Mapping[str, str], authors: Mapping[str, str]) -> list[Judgment]:
    named = path.stem.removeprefix("review_").split("_")
    labels = named if len(named) == 2 else [str(record["answer1_id"]), str(record["answer2_id"])]
    models = tuple(authors.get(str(record[f"answer{place}_id"]), label) for place, label in enumerate(labels, start=1))
    judge = str(record["reviewer_id"]).rsplit("-", 1)[0]  # gpt-4-0328-math: the last part names the prompt
    text = str(record["text"])
    return [Judgment(VICUNA.name, str(record["question_id"]), 1, models, judge, VICUNA.parse(text, {}), text)]


def _alpaca_eval(record: Record, path: Path, ids: Mapping[str, str], authors: Mapping[str, str]) -> list[Judgment]:
    instruction = str(record["instruction"])
    if instruction not in ids:
        raise ValueError(f"no question has the text {instruction[:60]!r}")
    models, text = (str(record["generator_1"]), str(record["generator_2"])), str(record.get("raw_completion") or "")
    scores = alpaca_eval_shares(record["preference"])
    annotator = str(record["annotator"])
    return [Judgment(ALPACA.name, ids[instruction], 1, models, annotator, scores, text, baseline=models[0])]


def alpaca_eval_shares(preference: float | None) -> tuple[float, float] | None:
    """AlpacaEval's preference, 1 (the first) to 2 (the second), 0 and 1.5 for a draw, as shares of the win.

    Anything else, and NaN, is no verdict (AlpacaEval, metrics/winrate.py).
    """
    if preference in (0, 1.5):
        return 0.5, 0.5
    if preference is None or not 1 <= preference <= 2:
        return None
    return 2 - float(preference), float(preference) - 1


def _judge_name(value: object) -> str:
    return str(value[0] if isinstance(value, list) else value)
