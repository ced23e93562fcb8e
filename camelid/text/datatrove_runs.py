"""MinHash over corpora larger than memory: datatrove's stages, run on one machine or many.

There are four: signatures of all texts, pairs with equal signatures, clusters of pairs, and the pass that keeps one of
each cluster.
"""

import inspect
from collections.abc import Sequence
from typing import Any

from datatrove.executor.base import PipelineExecutor
from datatrove.pipeline.dedup.minhash import (
    MinhashConfig,
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.utils.hashing import HashConfig
from datatrove.utils.text import TextNormConfig
from datatrove.utils.word_tokenizers import WordTokenizer

from camelid.errors import UserError, suggest_name
from camelid.text.corpus_kind import TextComparison
from camelid.text.words import WordSplitter

PipelineStage = tuple[str, list[Any], int]  # name, steps, parallel tasks; it needs all of the stage before

# 14 buckets of 8 hashes are FineWeb's (Penedo et al. 2024, section 3.4): of texts with a Jaccard similarity of 0.75
# they find 77%, of 0.8, 92%.
BUCKETS, HASHES = 14, 8


class SplitWords(WordTokenizer):  # type: ignore[misc]
    """datatrove's form of a function from a text to its words."""

    def __init__(self, words: WordSplitter) -> None:
        super().__init__()
        self.words = words

    def word_tokenize(self, text: str) -> list[str]:
        return self.words(text)

    def sent_tokenize(self, text: str) -> list[str]:
        raise NotImplementedError

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        raise NotImplementedError


def minhash_stages(
    read: Any, before: list[Any], after: list[Any], comparison: TextComparison, folders: Sequence[str], tasks: int
) -> list[PipelineStage]:
    """The four stages.

    Args:
        read: the step that yields the documents to compare.
        before: the last stage's steps up to the one that drops duplicates; they yield the same documents, in order.
        after: the last stage's steps after it.
        comparison: of the documents' texts.
        folders: for signatures, pairs and clusters.
        tasks: pieces that the documents are shared out to.
    """
    config = MinhashConfig(
        comparison.n_grams,
        BUCKETS,
        HASHES,
        norm_config=TextNormConfig(norm_numbers=not comparison.numbers),
        hash_config=HashConfig(hash_fc="sha1"),  # datatrove 0.10's other one does not work with xxhash 4
    )
    signatures, pairs, clusters = folders
    words = SplitWords(comparison.words)
    return [
        ("signatures", [read, MinhashDedupSignature(signatures, config, language=words)], tasks),
        ("pairs", [MinhashDedupBuckets(signatures, pairs, config=config)], BUCKETS),
        ("clusters", [MinhashDedupCluster(pairs, clusters, config=config)], 1),
        ("filter", [*before, MinhashDedupFilter(clusters), *after], tasks),
    ]


def run_stages(executor: str, stages: list[PipelineStage], logs: str, workers: int, options: dict[str, Any]) -> None:
    """Run the stages, each after the one before; Slurm's are submitted and run later.

    Args:
        executor: `local`, `slurm` or `ray`.
        stages: from `minhash_stages`.
        logs: folder for datatrove's logs, statistics and completion marks: what is done is not done again.
        workers: tasks at the same time.
        options: further arguments of datatrove's executor (Slurm's needs `time` and `partition`).
    """
    before: dict[str, PipelineExecutor] = {}
    for name, steps, tasks in stages:
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
