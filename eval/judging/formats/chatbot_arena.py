"""People's votes in Chatbot Arena (lmsys/chatbot_arena_conversations, and the battles without their texts)."""

from camelid.files.read import Record
from eval.judging.formats.format import JudgmentFormat, Source, text_of
from eval.judging.judgment import Judgment
from eval.judging.modes.pairwise import PAIRWISE

VOTERS = "voters"  # thousands of people, each with a name of their own
_WINNERS = {"model_a": (1.0, 0.0), "model_b": (0.0, 1.0), "tie": (0.5, 0.5), "tie (bothbad)": (0.5, 0.5)}


def _read(record: Record, source: Source) -> list[Judgment]:
    winner = str(record["winner"])
    if winner not in _WINNERS:
        raise ValueError(f"field 'winner' must be one of {', '.join(_WINNERS)}, found {winner!r}")
    said = tuple(_answers(record[name]) for name in ("conversation_a", "conversation_b") if name in record)
    return [
        Judgment(
            mode=PAIRWISE.name,
            question=str(record.get("question_id", source.row)),
            turn=1,
            models=(text_of(record, "model_a"), text_of(record, "model_b")),
            judge=VOTERS,
            scores=_WINNERS[winner],
            text=winner,
            answers=said if len(said) == 2 else (),
            time=float(record.get("tstamp") or 0.0),
        )
    ]


def _answers(talk: list[Record]) -> str:
    """All that a model said: one vote is of the whole conversation."""
    return "\n\n".join(str(one["content"]) for one in talk if one["role"] == "assistant")


CHATBOT_ARENA = JudgmentFormat(
    "Chatbot Arena votes", lambda record: {"model_a", "model_b", "winner", "judge"} <= record.keys(), _read
)
