"""Prometheus' evaluations (prometheus-eval: Feedback Bench and Preference Bench, and what its judges write)."""

from camelid.files.read import Record
from eval.judging.formats.format import JudgmentFormat, Source, text_of, with_verdict
from eval.judging.judgment import Judgment
from eval.judging.modes.pairwise import PAIRWISE
from eval.judging.modes.prometheus import PROMETHEUS

_LETTERS = {"A": (1.0, 0.0), "B": (0.0, 1.0)}


def _grade(record: Record, source: Source) -> list[Judgment]:
    score = record.get("orig_score", record.get("score"))
    judgment = Judgment(
        mode=PROMETHEUS.name,
        question=_question(record, source),
        turn=1,
        models=(str(record.get("model") or record.get("generator") or source.path.name.split(".json")[0]),),
        judge=_judge(record),
        scores=None,
        text=_reply(record),
        answers=(text_of(record, "orig_response"),),
        stored=None if score is None else (float(score),),
    )
    return [with_verdict(judgment)]


def _preference(record: Record, source: Source) -> list[Judgment]:
    found = str(record.get("orig_preference", record.get("decision"))).strip()
    return [
        Judgment(
            mode=PAIRWISE.name,
            question=_question(record, source),
            turn=1,
            models=(str(record.get("model_A", "Response A")), str(record.get("model_B", "Response B"))),
            judge=_judge(record),
            scores=_LETTERS.get(found),
            text=_reply(record) or found,
            answers=(text_of(record, "orig_response_A"), text_of(record, "orig_response_B")),
        )
    ]


def _question(record: Record, source: Source) -> str:
    """By its id, where it is its own question's file by its place, else by its text."""
    own = str(record.get("id", source.row))
    if any(question.id == own for question in source.questions):
        return own
    return source.question_of(text_of(record, "orig_instruction"), source.path.name)


def _judge(record: Record) -> str:
    return str(record.get("judge") or record.get("judge_model") or "Prometheus")


def _reply(record: Record) -> str:
    """What the judge wrote, its grade behind it; the data set keeps the feedback and the grade apart."""
    reply = record.get("output", record.get("feedback", record.get("orig_feedback")))
    return reply if isinstance(reply, str) and "[RESULT]" in reply else ""


PROMETHEUS_GRADES = JudgmentFormat(
    "Prometheus grades", lambda record: {"orig_instruction", "orig_response"} <= record.keys(), _grade
)
PROMETHEUS_PREFERENCES = JudgmentFormat(
    "Prometheus preferences", lambda record: {"orig_instruction", "orig_response_A"} <= record.keys(), _preference
)
