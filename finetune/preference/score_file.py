"""Files of candidates or preferences, scored: `camelid finetune score`.

Scores go to a log beside the output, a batch at a time, as soon as they are there; the output is written at the end. So
a run that was killed goes on where it was, and ends with the same file.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from camelid.errors import UserError
from camelid.files.ledger import Ledger
from camelid.files.read import file_hash, read_jsonl
from camelid.files.records import read_records
from camelid.files.write import AppendLog, write_jsonl
from camelid.message import Message
from camelid.progress import Progress
from conversations.candidates import Candidates, parse_candidates
from conversations.preference import LabelledAnswer, Preference, PreferenceRecord, parse_preference
from finetune.folders.open_folder import folder_fingerprint
from finetune.preference.reward_model import RewardModel

SCORES = "scores"  # in the meta of a preference: by reward, of the chosen answer and the rejected one


@dataclass(frozen=True)
class ScoredFile:
    """What became of a file.

    Attributes:
        records: with their scores.
        ledgers: of each reward, what became of the answers.
    """

    records: list[Candidates | PreferenceRecord]
    ledgers: dict[str, Ledger]


def score_file(path: Path, output: Path, rewards: Mapping[str, Path], quiet: bool) -> ScoredFile:
    """Score every answer of a file with every reward model.

    Args:
        path: candidates or preferences.
        output: the same with scores; may be the file itself.
        rewards: folders of reward models by name.
        quiet: no progress display.

    Raises:
        UserError: the file is missing or broken, or a folder holds no reward model.
    """
    records = list(_read(path))
    log_path = output.with_name(f".{output.name}.scoring.jsonl")
    ledgers = {name: Ledger("answers") for name in rewards}
    scores: dict[str, list[list[float] | None]] = {}
    run = _run_key(path, rewards)
    done = _done(log_path, run)
    with AppendLog(log_path) as log:
        if not done:
            log.append({"run": run})
        for name, folder in rewards.items():
            scores[name] = _score(records, name, folder, log, done.get(name, []), quiet)
    for name in rewards:
        for index, record in enumerate(records):
            records[index] = _with_scores(record, name, scores[name][index])
            count = len(_answers(record)[1])
            if scores[name][index] is None:
                ledgers[name].drop("could not be scored", count, f"{record.id}")
            else:
                ledgers[name].keep(count)
    write_jsonl(output, (record.to_json() for record in records))
    log_path.unlink()
    return ScoredFile(records, ledgers)


def _read(path: Path) -> Iterator[Candidates | PreferenceRecord]:
    for place, record in read_records(path):
        yield parse_candidates(record, place) if "answers" in record else parse_preference(record, place)


def _run_key(path: Path, rewards: Mapping[str, Path]) -> str:
    """What the scores depend on."""
    parts = [file_hash(path), *(f"{name} {folder_fingerprint([folder])}" for name, folder in rewards.items())]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _done(log_path: Path, run: str) -> dict[str, list[list[float] | None]]:
    """By reward, the scores of the first records, that a run before has left; none of a run on something else."""
    if not log_path.is_file():
        return {}
    AppendLog(log_path).close()  # cuts off a torn line
    lines = [record for _, record in read_jsonl(log_path)]
    if not lines or lines[0].get("run") != run:
        log_path.unlink()
        return {}
    done: dict[str, list[list[float] | None]] = {"": []}
    for line in lines[1:]:
        done.setdefault(line["reward"], []).extend(line["scores"])
    return done


def _score(
    records: Sequence[Candidates | PreferenceRecord],
    name: str,
    folder: Path,
    log: AppendLog,
    done: list[list[float] | None],
    quiet: bool,
) -> list[list[float] | None]:
    """The scores of all records by one reward model; `done` are those of the first ones, whole batches."""
    scores = list(done)
    if len(scores) == len(records):
        return scores
    model = RewardModel(folder)
    encoded = (model.encode(*_answers(record)) for record in records[len(done) :])
    with Progress(f"score {name}", len(records), quiet, done=len(done)) as bar:
        for batch in model.batched(encoded):
            readable = [each for each in batch if not isinstance(each, str)]
            known = iter(model.score(readable) if readable else [])
            more = [None if isinstance(each, str) else next(known) for each in batch]
            log.append({"reward": name, "scores": more})
            scores += more
            bar.update(len(scores), "")
    return scores


def _answers(record: Candidates | PreferenceRecord) -> tuple[tuple[Message, ...], list[Message]]:
    """The prompt of a record and its answers."""
    if isinstance(record, Candidates):
        return record.prompt, [answer.text().message() for answer in record.answers]
    if isinstance(record, LabelledAnswer):
        return record.prompt, [record.answer.message()]
    return record.prompt, [record.chosen.message(), record.rejected.message()]


def _with_scores(
    record: Candidates | PreferenceRecord, name: str, scores: list[float] | None
) -> Candidates | PreferenceRecord:
    """The record with one reward's scores, instead of those of that name that it had."""
    if isinstance(record, Candidates):
        answers = []
        for index, answer in enumerate(record.answers):
            kept = {key: value for key, value in answer.scores.items() if key != name}
            answers.append(replace(answer, scores=kept if scores is None else {**kept, name: scores[index]}))
        return replace(record, answers=tuple(answers))
    kept = {key: value for key, value in record.meta.get(SCORES, {}).items() if key != name}
    return replace(record, meta={**record.meta, SCORES: kept if scores is None else {**kept, name: scores}})


def parse_rewards(values: Sequence[str]) -> dict[str, Path]:
    """Folders by name, of `NAME=DIR`.

    Raises:
        UserError: one is not of that form, or two have one name.
    """
    rewards: dict[str, Path] = {}
    for value in values:
        name, equals, folder = value.partition("=")
        if not (name and equals and folder):
            raise UserError(f"--reward {value!r} must look like NAME=DIR, for example helpful=runs/helpful/model")
        if name in rewards:
            raise UserError(f"--reward {name} is given twice; give each reward model a name of its own")
        if not Path(folder).is_dir():
            raise UserError(f"--reward {value}: no such folder: {folder}")
        rewards[name] = Path(folder)
    return rewards


def scored_pairs(records: Sequence[Any], name: str) -> list[tuple[Preference, float, float]]:
    """The pairs that a reward model has scored, with the scores of the chosen answer and the rejected one."""
    found = []
    for record in records:
        scores = record.meta.get(SCORES, {}).get(name) if isinstance(record, Preference) else None
        if scores is not None:
            found.append((record, float(scores[0]), float(scores[1])))
    return found
