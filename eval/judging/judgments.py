"""Files of judgments, ours and the published ones."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from camelid.errors import UserError
from camelid.files.read import Record
from conversations.questions.records import read_file_records
from eval.ask.questions import Question
from eval.judging.formats.alpaca_eval import alpaca_eval_shares as alpaca_eval_shares
from eval.judging.formats.format import JudgmentFormat, Source
from eval.judging.formats.table import FORMATS
from eval.judging.judgment import Judgment as Judgment
from eval.judging.judgment import subject_hash as subject_hash


def read_judgments(
    path: str | Path, questions: Sequence[Question] = (), authors: Mapping[str, str] | None = None
) -> list[Judgment]:
    """Read a judgment file in any format of `eval.judging.formats.table`.

    Verdicts are read anew from the raw replies, so a better parser costs nothing; what the file itself holds is in
    `Judgment.stored`. It counts where the reply isn't there to be read, and in AlpacaEval's files, since the
    log-probabilities behind it are rarely stored.

    Args:
        path: JSON Lines, a JSON array, or one of Inspect's logs.
        questions: to find the question of a judgment that has only its text.
        authors: answer id -> model label, for Vicuna's reviews; without it the label comes from the file's name
            (`review_FIRST_SECOND.jsonl`).

    Raises:
        UserError: a record is in none of these formats.
    """
    source = Source(Path(path), questions, authors or {})
    found: dict[str, tuple[JudgmentFormat, list[Judgment]]] = {}
    for place, record in read_file_records(path):
        format = judgment_format(record)
        if format is None:
            fields = ", ".join(sorted(record)[:8]) or "none"
            raise UserError(f"{place}: not a judgment in a format that is read here (its fields: {fields})")
        source.row = place.rsplit("/", 1)[-1]
        try:
            found.setdefault(format.called, (format, []))[1].extend(format.read(record, source))
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise UserError(f"{place}: not a judgment ({type(error).__name__}: {error})") from None
    parts = [format.combine(judgments) if format.combine else judgments for format, judgments in found.values()]
    return [judgment for part in parts for judgment in part]


def judgment_format(record: Record) -> JudgmentFormat | None:
    """The format of a judgment; None if it is none."""
    return next((format for format in FORMATS if format.is_one(record)), None)
