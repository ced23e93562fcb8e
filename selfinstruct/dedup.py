"""Instruction records as a corpus that `dedup` can read: what of them is compared, and what is kept out."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from camelid.errors import UserError
from camelid.files.read import parse_json
from camelid.text.corpus_kind import CorpusKind, ReasonToDrop, TextComparison
from camelid.text.words import unicode_tokens
from selfinstruct.keep.selection import EvaluationQuestions, read_evaluations

DUPLICATE = "near another record"


def _read_lines(folder: Any, path: str) -> Iterator[tuple[str, Any]]:
    with folder.open(path, "rt", compression="infer", encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                place = f"{path}:{number}"
                yield place, parse_json(line, place)


def _task(record: Any, place: str) -> str:
    """What a record asks: instruction and input, whatever its answer."""
    if isinstance(record, dict):
        instruction, given = record.get("instruction"), record.get("input", "")
        if isinstance(instruction, str) and isinstance(given, str):
            return f"{instruction}\n{given}"
    raise UserError(f"{place}: expected an instruction record, with texts 'instruction' and, if any, 'input'")


def _keep_out(paths: Sequence[str]) -> ReasonToDrop:
    return partial(_reason_to_drop, questions=read_evaluations(paths))


def _reason_to_drop(record: Any, questions: Sequence[EvaluationQuestions]) -> str | None:
    text = _task(record, "")
    return next(filter(None, (near.reason_to_drop(text) for near in questions)), None)


# The words are the generator's, for every script. FineWeb's 5 in a row suit web pages; a task often has but ten words.
INSTRUCTION_RECORDS = CorpusKind(
    "records", _read_lines, _task, TextComparison(unicode_tokens, n_grams=3), DUPLICATE, _keep_out
)
