"""De-duplication and decontamination of corpora larger than memory: MinHash in datatrove, on one machine or many.

Four stages, as datatrove lays them out: signatures of all records, pairs with equal signatures, clusters of pairs, and
the pass that keeps one record of each cluster and drops what is near an evaluation question.
"""

import inspect
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from datatrove.data import Document
from datatrove.executor.base import PipelineExecutor
from datatrove.io import get_datafolder
from datatrove.pipeline.dedup.minhash import (
    MinhashConfig,
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.filters import LambdaFilter
from datatrove.utils.hashing import HashConfig
from datatrove.utils.text import TextNormConfig
from datatrove.utils.word_tokenizers import WordTokenizer

from camelid.errors import UserError, suggest_name
from camelid.files.ledger import Ledger
from camelid.files.read import parse_json, read_json
from camelid.files.write import dumps
from camelid.text.words import unicode_tokens
from selfinstruct.keep.selection import EvaluationQuestions

# 14 buckets of 8 hashes are FineWeb's (Penedo et al. 2024, section 3.4): of texts with a Jaccard similarity of 0.75
# they find 77%, of 0.8, 92%. FineWeb's 5 words in a row suit web pages; a task often has but ten words.
N_GRAMS = 3
BUCKETS, HASHES = 14, 8
DUPLICATE = "near another record"


class _UnicodeWords(WordTokenizer):  # type: ignore[misc]
    """The words that the generator compares, for every script."""

    def word_tokenize(self, text: str) -> list[str]:
        return unicode_tokens(text)

    def sent_tokenize(self, text: str) -> list[str]:
        raise NotImplementedError

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        raise NotImplementedError


def dedup_stages(
    source: str, output: str, questions: Sequence[EvaluationQuestions], tasks: int
) -> list[tuple[str, list[Any], int]]:
    """The pipeline as (name, steps, parallel tasks) for each stage; the next needs all of the one before.

    Args:
        source: folder with `.jsonl` files, also compressed, of instruction records; any file system fsspec knows.
        output: folder for `data/`, and `work/` for what is between the stages.
        questions: evaluation files to keep out.
        tasks: pieces that the files of `source` are shared out to.
    """
    config = MinhashConfig(
        N_GRAMS,
        BUCKETS,
        HASHES,
        norm_config=TextNormConfig(norm_numbers=False),  # numbers matter in a task; case and punctuation don't
        hash_config=HashConfig(hash_fc="sha1"),  # datatrove 0.10's other one does not work with xxhash 4
    )
    work = f"{output}/work"
    signatures, pairs, clusters = f"{work}/signatures", f"{work}/pairs", f"{work}/clusters"
    read = partial(read_tasks, folder=source)
    clean = [LambdaFilter(partial(_far_from, questions=questions))] if questions else []
    write = partial(write_records, folder=f"{output}/data")
    return [
        ("signatures", [read, MinhashDedupSignature(signatures, config, language=_UnicodeWords())], tasks),
        ("pairs", [MinhashDedupBuckets(signatures, pairs, config=config)], BUCKETS),
        ("clusters", [MinhashDedupCluster(pairs, clusters, config=config)], 1),
        ("filter", [read, MinhashDedupFilter(clusters), *clean, write], tasks),
    ]


def run_stages(
    executor: str, built: list[tuple[str, list[Any], int]], logs: str, workers: int, options: dict[str, Any]
) -> None:
    """Run the stages, each after the one before; Slurm's are submitted and run later.

    Args:
        executor: `local`, `slurm` or `ray`.
        built: from `dedup_stages`.
        logs: folder for datatrove's logs, statistics and completion marks: what is done is not done again.
        workers: tasks at the same time.
        options: further arguments of datatrove's executor (Slurm's needs `time` and `partition`).
    """
    before: dict[str, PipelineExecutor] = {}
    for name, steps, tasks in built:
        settings = {"tasks": tasks, "workers": workers, "logging_dir": f"{logs}/{name}", **before, **options}
        if executor == "slurm":
            settings.setdefault("job_name", f"camelid-{name}")
        stage = _executor(executor)(steps, **settings)
        if executor == "ray":
            stage.run()
        else:
            before = {"depends": stage}
    if executor != "ray":
        stage.run()  # runs, or submits, the ones it depends on first


def _executor(name: str) -> Any:
    if name == "local":
        from datatrove.executor.local import LocalPipelineExecutor as Executor
    elif name == "slurm":
        from datatrove.executor.slurm import SlurmPipelineExecutor as Executor
    else:
        from datatrove.executor.ray import RayPipelineExecutor as Executor
    return Executor


def record_files(folder: str) -> tuple[list[str], list[str]]:
    """The files of a folder that hold records, and the journals that `generate` keeps beside its own."""
    paths = get_datafolder(folder).list_files(recursive=True, glob_pattern="*.jsonl*")
    journals = [path for path in paths if ".journal.jsonl" in path]
    return [path for path in paths if path not in journals], journals


def read_tasks(data: Any, rank: int, world_size: int, folder: str) -> Iterator[Document]:
    """A pipeline's first step: every `world_size`-th file from `rank` on, strictly.

    Raises:
        UserError: a line is no instruction record.
    """
    source = get_datafolder(folder)
    records, _ = record_files(folder)
    for path in records[rank::world_size]:
        with source.open(path, "rt", compression="infer", encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    place = f"{path}:{number}"
                    record = parse_json(line, place)
                    yield Document(_task(record, place), place, metadata={"record": record})


def _task(record: Any, place: str) -> str:
    """What a record asks: instruction and input, whatever its answer."""
    if isinstance(record, dict):
        instruction, given = record.get("instruction"), record.get("input", "")
        if isinstance(instruction, str) and isinstance(given, str):
            return f"{instruction}\n{given}"
    raise UserError(f"{place}: expected an instruction record, with texts 'instruction' and, if any, 'input'")


def _far_from(document: Document, questions: Sequence[EvaluationQuestions]) -> bool | tuple[bool, str]:
    reasons = (near.reason_to_drop(document.text) for near in questions)
    reason = next(filter(None, reasons), None)
    return (False, reason) if reason else True


def write_records(data: Any, rank: int, world_size: int, folder: str) -> Iterator[Document]:
    """A pipeline's last step: the records as they were, one file for each task."""
    with get_datafolder(folder).open(f"{rank:05d}.jsonl.gz", "wt", compression="gzip", encoding="utf-8") as file:
        for document in data:
            file.write(dumps(document.metadata["record"]) + "\n")
            yield document


def read_ledger(logs: Path) -> Ledger | None:
    """What became of the records, from the statistics of the last stage; None while it is not done."""
    path = logs / "filter" / "stats.json"
    if not path.exists():
        return None
    counts = Ledger("records")
    for step in read_json(path):
        stats = {name: value["total"] if isinstance(value, dict) else value for name, value in step["stats"].items()}
        if "MinHash" in step["name"]:
            counts.kept = stats.get("forwarded", 0)
            counts.drop(DUPLICATE, stats.get("dropped", 0))
        for name, count in stats.items():
            if name.startswith("dropped_"):
                counts.drop(name.removeprefix("dropped_"), count)
                counts.kept -= count
    return counts


def parse_options(items: Sequence[str], executor: str) -> dict[str, Any]:
    """Read `KEY=VALUE` items; the keys are arguments of datatrove's executor.

    Raises:
        UserError: there is no `=`, the executor has no such argument, or it needs one that is not there.
    """
    known = inspect.signature(_executor(executor)).parameters
    options: dict[str, Any] = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals or name not in known:
            raise UserError(f"--executor-option {item}: expected KEY=VALUE{suggest_name(name, known)}")
        options[name] = int(value) if value.isdigit() else value
    needed = {name for name, parameter in known.items() if parameter.default is parameter.empty}
    if missing := needed - set(options) - {"pipeline", "tasks"}:
        raise UserError(f"--executor {executor}: add --executor-option {' '.join(f'{m}=...' for m in sorted(missing))}")
    return options
