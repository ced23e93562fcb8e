"""Instruction difficulties, fitted to the judgments of many models and kept in a file beside them.

They make a model's win rate at equal length independent of who else is reported (`eval.numbers.length_control`).
Nobody's data comes with Camelid: `camelid eval difficulties DIR` fits them to the annotations that you have.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from scipy.special import expit

from camelid.errors import UserError
from camelid.files.paths import suggest_path
from camelid.files.read import Record, read_json
from camelid.files.write import write_json
from conversations.formats.readers import read_records
from eval.ask.questions import Question, question_key
from eval.judging.judgments import alpaca_eval_shares
from eval.numbers.length_control import STEPS, TINY, Comparison, Difficulties, standard_lengths

FILE = "difficulties.json"
FIELDS = ("instruction", "preference", "output_1", "output_2", "generator_1", "generator_2")
# Difficulties are drawn to 0 as by a standard normal prior; without it a question that all models lost would have none.
RIDGE = 1.0


def fit_difficulties(comparisons: Sequence[Comparison]) -> Difficulties:
    """Fit one slope, each model's own term and each question's difficulty together.

    log-odds = model + slope x tanh(difference / its standard deviation for this model) + difficulty.

    Newton's method, with the difficulties eliminated: a question's difficulty touches only its own rows, so their
    block of the second derivative is diagonal, and what is left to solve has one unknown a model and one more.

    Args:
        comparisons: of two models or more with the same baseline, one turn a question.
    """
    models, model = np.unique([row.model for row in comparisons], return_inverse=True)
    asked, question = np.unique([row.question for row in comparisons], return_inverse=True)
    shares = np.array([row.share for row in comparisons])
    lengths = np.array([row.longer for row in comparisons])
    for place in range(len(models)):
        lengths[model == place] = standard_lengths(lengths[model == place])
    draw = np.append(np.full(len(models), TINY), TINY)
    terms, hard = np.zeros(len(models) + 1), np.zeros(len(asked))
    for _ in range(STEPS):
        chances = expit(terms[model] + terms[-1] * lengths + hard[question])
        rest, weights = shares - chances, chances * (1 - chances)
        slope = np.append(np.bincount(model, rest, len(models)), rest @ lengths) - draw * terms
        slopes = np.bincount(question, rest, len(asked)) - RIDGE * hard
        own = np.bincount(question, weights, len(asked)) + RIDGE
        cross = np.zeros((len(terms), len(asked)))
        np.add.at(cross, (model, question), weights)
        cross[-1] = np.bincount(question, weights * lengths, len(asked))
        full = np.diag(np.append(np.bincount(model, weights, len(models)), weights @ lengths**2) + draw)
        full[:-1, -1] = full[-1, :-1] = np.bincount(model, weights * lengths, len(models))
        step = np.linalg.solve(full - (cross / own) @ cross.T, slope - cross @ (slopes / own))
        steps = (slopes - cross.T @ step) / own
        largest = max(float(np.abs(step).max()), float(np.abs(steps).max()))
        damp = min(1.0, 4.0 / max(largest, 1e-300))
        terms, hard = terms + damp * step, hard + damp * steps
        if largest < 1e-10:
            break
    return Difficulties(float(terms[-1]), dict(zip(map(str, asked), map(float, hard), strict=True)))


def read_annotations(folder: Path, judge: str | None = None) -> tuple[list[Comparison], list[Path]]:
    """AlpacaEval's annotations in a folder and the folders in it; questions are named by their text.

    Args:
        folder: with `.json` or `.jsonl` files, one or several models' in each.
        judge: whose annotations; None where all are one judge's.

    Returns:
        what was judged, one row for each model and question, and the files that hold no annotations.

    Raises:
        UserError: no annotations, or of fewer than two models, of several judges, or with several baselines.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder{suggest_path(folder)}")
    found: dict[tuple[str, str], Comparison] = {}
    others, judges, baselines = list[Path](), dict[str, None](), dict[str, None]()
    for path in sorted([*folder.rglob("*.json"), *folder.rglob("*.jsonl")]):
        there = False
        for place, record in _annotations(path):
            there = True
            annotator = str(record.get("annotator", ""))
            if judge is not None and annotator != judge:
                continue
            row = _comparison(record, place)
            if row is not None:
                judges[annotator] = baselines[str(record["generator_1"])] = None
                found[row.model, row.question] = row
        if not there and path.name != FILE:
            others.append(path)
    for names, what, fix in ((judges, "judges", "name one with --judge"), (baselines, "baselines", "keep one")):
        if len(names) > 1:
            raise UserError(f"{folder}: annotations with several {what} ({', '.join(names)}); {fix}")
    models = {row.model for row in found.values()}
    if len(models) < 2:
        raise UserError(
            f"{folder}: annotations of {len(models)} models; difficulties need two or more, each compared with one "
            f"baseline in records with {', '.join(FIELDS)}"
        )
    return list(found.values()), others


def write_difficulties(path: Path, fitted: Difficulties, models: Iterable[str]) -> None:
    """Write the file: `slope`, the `models` it was fitted to, and the `difficulties` by question text."""
    write_json(path, {"slope": fitted.slope, "models": sorted(models), "difficulties": dict(fitted.log_odds)})


def read_difficulties(path: str | Path, questions: Sequence[Question]) -> Difficulties:
    """Read what `write_difficulties` wrote, by question id.

    Raises:
        UserError: no such file, or of another shape, or about none of the questions.
    """
    value = read_json(path)
    try:
        slope, by_text = float(value["slope"]), {str(key): float(odds) for key, odds in value["difficulties"].items()}
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UserError(f"{path}: not a file that `camelid eval difficulties` wrote") from None
    keys = {question.id: question_key(question.turns[0]) for question in questions}
    log_odds = {name: by_text[key] for name, key in keys.items() if key in by_text}
    if not log_odds:
        raise UserError(f"{path}: it has none of the {len(questions)} questions; fit it to annotations of these")
    return Difficulties(slope, log_odds)


def _annotations(path: Path) -> Iterator[tuple[str, Record]]:
    """A file's records, if the first is an annotation."""
    records = read_records(path)
    try:
        first = next(records, None)
    except UserError:  # a file of something else
        return
    if first is not None and all(name in first[1] for name in FIELDS):
        yield first
        yield from records


def _comparison(record: Record, place: str) -> Comparison | None:
    """None for a model compared with itself and for an annotation without a verdict."""
    texts = [record.get(name) for name in FIELDS if name != "preference"]
    if not all(isinstance(text, str) for text in texts):
        raise UserError(f"{place}: not an annotation; {', '.join(FIELDS)} must be text, and preference a number")
    instruction, baseline_answer, answer, baseline, model = map(str, texts)
    preference = record.get("preference")
    if preference is not None and not isinstance(preference, int | float):
        raise UserError(f"{place}: field 'preference' must be a number from 1 to 2, found {preference!r}")
    scores = alpaca_eval_shares(preference)
    if scores is None or model == baseline:
        return None
    return Comparison(model, question_key(instruction), 1, scores[1], len(answer), len(baseline_answer))
