"""The question browser's data: compressed, in blocks that the page unpacks only when someone looks.

The index has one short entry for every question. The texts, tens of megabytes for AlpacaEval's 805 questions and 20
models, lie in blocks of a few questions each. Both are gzipped JSON in base64, which can hold no markup whatever a
model wrote.

What the page finds in it; models and judges are places in the index's `models` and `judges`, -1 if not there:

- `mode`: what the page asks about it: whether two answers were compared, what a verdict is, the unit of a score,
  whether scores are shares (0 to 1), whether answers were run: then turns are samples of one question;
- `compared`: the two models shown at first, null for the best two;
- an index entry: id, category, text (its beginning), block and place of its texts, `scores` (each model's mean),
  `pairs` (model, model, score, score), `issues` (names of `_issues`, and `alike`: one answer of all);
- texts: turns, references, `answers` (one for each model, null or [turns, cut off, failure, words of each turn]),
  `flags` (model, turn, reason, excerpt), and `outcomes` (judge, turn, models, scores, contradiction, replies), whose
  replies are each (models in the order shown, scores, text, failure, prompt: see `eval.report.packed_prompts`), and
  whose prompts share the index's `settings`.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from camelid.page import pack_value
from camelid.text.words import count_words
from eval.ask.answer import Answer
from eval.ask.questions import Question
from eval.judging.judgment import Judgment
from eval.judging.modes.table import MODES
from eval.numbers.outcomes import Outcome, outcomes, without_duplicates
from eval.report.packed_prompts import PackedPrompts
from eval.results import Results

BLOCK = 500_000  # characters of text in a block: unpacked in about 10 ms
SNIPPET = 240  # characters of a question in the list: more than its two lines show

Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PackedPage:
    """What the page embeds: the index and the blocks, each gzipped JSON in base64."""

    index: str
    blocks: list[str]


def pack_page(
    results: Results,
    questions: Sequence[Question],
    answers: Sequence[Answer],
    judgments: Sequence[Judgment],
    compared: tuple[str, str] | None = None,
) -> PackedPage:
    """All questions with answers and verdicts, ready to embed.

    Args:
        results, questions, answers, judgments: the page's.
        compared: the two models shown at first; None leaves the choice to the page.
    """
    labels = contestants(results, answers, judgments)
    entries, blocks, block, size = list[Entry](), list[str](), list[Entry](), 0
    prompts = PackedPrompts()
    for entry, detail in _entries(results, labels, questions, answers, judgments, prompts):
        if size > BLOCK:
            blocks.append(pack_value(block))
            block, size = [], 0
        entries.append({**entry, "block": len(blocks), "place": len(block)})
        block.append(detail)
        size += _length(detail)
    if block:
        blocks.append(pack_value(block))
    mode = MODES[results.mode]
    index = {
        "mode": {
            "paired": mode.paired,
            "verdict": mode.verdict,
            "unit": mode.scale.unit,
            "shares": mode.verdict_range[1] == 1,
            "executed": mode.executed,
        },
        "models": labels,
        "ranked": [row.label for row in results.boards[0].rows] if results.boards else labels,
        "baseline": results.baseline,
        "compared": compared and [labels.index(label) for label in compared],
        "judges": list(results.judges),
        "settings": prompts.settings,
        "questions": entries,
    }
    return PackedPage(pack_value(index), blocks)


def contestants(results: Results, answers: Iterable[Answer], judgments: Iterable[Judgment]) -> list[str]:
    """The models of the report, then whoever else answered or was judged: the canary."""
    known = dict.fromkeys(results.models)
    known |= dict.fromkeys(answer.model for answer in answers)
    known |= dict.fromkeys(model for judgment in judgments for model in judgment.models)
    return list(known)


def _shown(answer: Answer) -> list[Any]:
    return [answer.turns, answer.cut, answer.failure, [count_words(text) for text in answer.turns]]


def _entries(
    results: Results,
    labels: Sequence[str],
    questions: Sequence[Question],
    answers: Sequence[Answer],
    judgments: Sequence[Judgment],
    prompts: PackedPrompts,
) -> Iterable[tuple[Entry, Entry]]:
    """For each question its entry in the index and its texts."""
    said = {(answer.question, answer.model): answer for answer in answers}
    found = defaultdict[str, list[Outcome]](list)
    for outcome in outcomes(without_duplicates(judgments)[0], results.baseline):
        found[outcome.question].append(outcome)
    flags = defaultdict[str, list[list[Any]]](list)
    place = {label: position for position, label in enumerate(labels)}
    for flag in results.flags:
        flags[flag.question].append([place.get(flag.model, -1), flag.turn, flag.reason, flag.excerpt])
    judges = {judge: position for position, judge in enumerate(results.judges)}
    for question in questions:
        given = [said.get((question.id, label)) for label in labels]
        here = found[question.id]
        detail: Entry = {
            "turns": question.turns,
            "references": question.references,
            "answers": [answer and _shown(answer) for answer in given],
            "flags": flags[question.id],
        }
        detail["outcomes"] = [
            _outcome(outcome, place, judges, [prompts.pack(one, detail, place) for one in outcome.judgments])
            for outcome in here
        ]
        expected = dict(zip(results.models, given, strict=False))
        rivals = [answer for label, answer in expected.items() if label != results.baseline]
        issues = _issues(question, list(expected.values()), here, bool(flags[question.id]))
        issues += ["alike"] * _are_alike(rivals)
        scores, pairs = _scores(here, place)
        text = (question.task.text or question.task.before).lstrip() if question.task else question.turns[0]
        entry = {"id": question.id, "category": question.category, "text": text[:SNIPPET]}
        yield {**entry, "scores": scores, "pairs": pairs, "issues": issues}, detail


def _outcome(outcome: Outcome, place: dict[str, int], judges: dict[str, int], prompts: Sequence[Any]) -> list[Any]:
    asked = [
        [[place[model] for model in one.models], one.scores, one.text, one.failure, prompt]
        for one, prompt in zip(outcome.judgments, prompts, strict=True)
    ]
    models = [place[model] for model in outcome.models]
    return [judges.get(outcome.judge, -1), outcome.turn, models, outcome.scores, outcome.contradiction, asked]


def _scores(found: Sequence[Outcome], place: dict[str, int]) -> tuple[list[float | None], list[list[Any]]]:
    """Each model's mean score on a question, and each pair's: the mean over judges and turns."""
    alone = defaultdict[int, list[float]](list)
    together = defaultdict[tuple[int, ...], list[tuple[float, ...]]](list)
    for outcome in found:
        models = tuple(place[model] for model in outcome.models)
        if outcome.scores:
            together[models].append(outcome.scores)
            for model, score in zip(models, outcome.scores, strict=True):
                alone[model].append(score)
    scores = [_mean(alone[model]) if model in alone else None for model in range(len(place))]
    pairs = [
        [*models, *(_mean(side) for side in zip(*known, strict=True))]
        for models, known in together.items()
        if len(models) == 2
    ]
    return scores, pairs


def _issues(question: Question, given: Sequence[Answer | None], found: Sequence[Outcome], flagged: bool) -> list[str]:
    """What there is to look at in a question, for the page's filter."""
    states = {judgment.state for outcome in found for judgment in outcome.judgments}
    present = {
        "contradiction": any(outcome.contradiction for outcome in found),
        "unparsed": "unparsed" in states,
        "failed": "failed" in states,
        "missing": any(answer is None or len(answer.turns) < len(question.turns) for answer in given),
        "cut": any(answer is not None and any(answer.cut) for answer in given),
        "flagged": flagged,
    }
    return [name for name, there in present.items() if there]


def _are_alike(given: Sequence[Answer | None]) -> bool:
    """Whether several models gave the same answer, to the letter."""
    texts = {answer.turns if answer else () for answer in given}
    return len(given) > 1 and len(texts) == 1 and () not in texts


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 4)


def _length(detail: Entry) -> int:
    """About how many characters of text."""
    texts = sum(len(text) for answer in detail["answers"] if answer for text in answer[0])
    return texts + sum(len(asked[2]) for outcome in detail["outcomes"] for asked in outcome[5])
