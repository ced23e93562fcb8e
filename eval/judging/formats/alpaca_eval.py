"""AlpacaEval's annotations (github.com/tatsu-lab/alpaca_eval, results/MODEL/ANNOTATOR/annotations.json)."""

from camelid.files.read import Record
from eval.judging.formats.format import JudgmentFormat, Source, text_of
from eval.judging.judgment import Judgment
from eval.judging.modes.alpaca import ALPACA


def alpaca_eval_shares(preference: float | None) -> tuple[float, float] | None:
    """AlpacaEval's preference, 1 (the first) to 2 (the second), 0 and 1.5 for a draw, as shares of the win.

    Anything else, and NaN, is no verdict (AlpacaEval, metrics/winrate.py).
    """
    if preference in (0, 1.5):
        return 0.5, 0.5
    if preference is None or not 1 <= preference <= 2:
        return None
    return 2 - float(preference), float(preference) - 1


def _read(record: Record, source: Source) -> list[Judgment]:
    models = (text_of(record, "generator_1"), text_of(record, "generator_2"))
    judge = str(record.get("annotator") or source.path.parent.name)  # its folder has the annotator's name
    said = tuple(record[name] for name in ("output_1", "output_2") if isinstance(record.get(name), str))
    scores = alpaca_eval_shares(record["preference"])
    return [
        Judgment(
            mode=ALPACA.name,
            question=source.question_of(text_of(record, "instruction"), judge, *models),
            turn=1,
            models=models,
            judge=judge,
            scores=scores,
            text=_reply(record.get("raw_completion")),
            baseline=models[0],
            answers=said if len(said) == 2 else (),
            stored=scores,
        )
    ]


def _reply(raw: object) -> str:
    """The judge's reply, where it was kept: its text, or the whole completion."""
    if isinstance(raw, dict):
        message = raw.get("message") or {}
        raw = raw.get("text") or (message.get("content") if isinstance(message, dict) else None)
    return raw if isinstance(raw, str) else ""


ALPACA_EVAL = JudgmentFormat(
    "AlpacaEval annotations", lambda record: "generator_2" in record and "preference" in record, _read
)
