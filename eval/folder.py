"""An evaluation's folder: `answers/MODEL.jsonl`, `judgments/MODE/JUDGE.jsonl`, a journal beside each, the report."""

import re
from collections.abc import Sequence
from pathlib import Path

from camelid.errors import UserError, near_miss
from eval.answer import Answer, read_answers
from eval.judgments import Judgment, read_judgments
from eval.questions import Question


def file_name(name: str) -> str:
    """A model's name as a file name."""
    return re.sub(r"[^\w.@-]+", "_", name)


def all_answers(folder: Path) -> list[Answer]:
    """Every model's answers.

    Raises:
        UserError: there are none.
    """
    paths = _files(folder / "answers")
    if not paths:
        raise UserError(f"{folder / 'answers'}: no answers there; run `camelid eval answer` first")
    return [item for path in paths for item in read_answers(path)]


def all_judgments(
    folder: Path, questions: Sequence[Question], mode: str | None, judges: Sequence[str]
) -> list[Judgment]:
    """The judgments of one mode, by all judges or by those named.

    Raises:
        UserError: there are none, of several modes, or of none of that judge.
    """
    modes = sorted(path.name for path in folder.glob("judgments/*/") if _files(path))
    if not modes:
        raise UserError(f"{folder / 'judgments'}: no judgments there; run `camelid eval judge` first")
    if mode is None and len(modes) > 1:
        raise UserError(f"{folder / 'judgments'}: judged in several modes ({', '.join(modes)}); choose one with --mode")
    chosen = mode or modes[0]
    if chosen not in modes:
        raise UserError(f"--mode {chosen}: not judged in that mode{near_miss(chosen, modes)}")
    paths = {path.name.removesuffix(".jsonl"): path for path in _files(folder / "judgments" / chosen)}
    wanted = [file_name(judge) for judge in judges] or list(paths)
    for name in wanted:
        if name not in paths:
            raise UserError(f"--judge {name}: no judgments of that judge{near_miss(name, paths)}")
    return [item for name in wanted for item in read_judgments(paths[name], questions)]


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.jsonl") if not path.name.endswith(".journal.jsonl"))
