"""What `corpus build`, `read` and `dedup` do: claim the folder, run the stages, say what became of the documents."""

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from camelid.config import apply_override, from_tree, to_tree
from camelid.errors import UserError
from camelid.files.ledger import Ledger
from camelid.files.lock import exclusive_lock
from camelid.files.paths import refuse_overwriting, short_names
from camelid.files.read import file_hash, read_json
from corpus.build import claim_folder, source_runs
from corpus.card import write_card
from corpus.dedup.ways import WAYS
from corpus.keep import KeepRules
from corpus.mix import describe, mix_sources, write_mixture
from corpus.reader import RawPart
from corpus.readers import READERS
from corpus.recipe import read_corpus_recipe
from corpus.record import text_files
from corpus.source_run import LEDGER, SourceRun
from corpus.stages import StageExecutor

_SHOWN = 8  # reasons printed of a ledger; the file has all


def build(args: argparse.Namespace) -> int:
    """Every source of a recipe, then the mixture (`mixture.yaml`) and the page (`card.html`)."""
    recipe = read_corpus_recipe(args.recipe, tuple(args.overrides))
    with exclusive_lock(args.output / "lock"):
        runs = source_runs(recipe, args.raw, args.output)
        asked = {run.name: run.asked for run in runs}
        whole = {"tokens": recipe.tokens, "tokenizer": recipe.tokenizer, "raw": str(args.raw.resolve())}
        claim_folder(args.output, {**whole, "sources": asked})
        if not _run(runs, args, args.output):
            return 0
        folders = [run.folder for run in runs]
        for run in runs:
            _tell(run)
        mixed = mix_sources(folders, [section.share for section in recipe.sources.values()], recipe.tokens)
        write_mixture(args.output / "mixture.yaml", mixed)
        write_card(folders, args.output / "card.html", args.output.resolve().name)
    print("\n".join(describe(mixed)))
    print(f"{args.output / 'mixture.yaml'}: data.train of a recipe; {args.output / 'card.html'}: what is in it")
    return 0


def read(args: argparse.Namespace) -> int:
    """One source; 1 if nothing of it stays."""
    reader = from_tree(READERS[args.source], _settings(args.set, "--set"), "--set")
    rules = from_tree(KeepRules, {**_settings(args.keep, "--keep"), "decontaminate": args.decontaminate}, "--keep")
    refuse_overwriting(args.output, args.inputs)
    parts = tuple(reader.parts(args.inputs))
    name = args.name or args.source
    asked = {
        "reader": args.source,
        "name": name,
        "settings": to_tree(reader),
        "keep": to_tree(rules),
        "decontaminate": {short: file_hash(path) for short, path in short_names(rules.decontaminate).items()},
        "tokenizer": args.tokenizer,
        "inputs": [str(path.resolve()) for path in args.inputs],
        "parts": len(parts),
    }
    return _run_one(SourceRun(name, args.output, parts, reader, rules, None, args.tokenizer, asked), args)


def dedup(args: argparse.Namespace) -> int:
    """What is left of a folder of texts; 1 if that is nothing."""
    given = {
        "over": args.over,
        "similarity": args.similarity,
        "key": args.key,
        "keep": args.copies,
    }
    settings = {name: value for name, value in given.items() if value is not None}
    way = from_tree(WAYS[args.by], settings, f"--by {args.by}")
    output = args.output or args.source.with_name(f"{args.source.resolve().name}-unique")
    refuse_overwriting(output, [args.source])
    parts = tuple(RawPart(str(path), (str(path),)) for path in text_files(args.source))
    asked = {"by": args.by, "settings": to_tree(way), "inputs": [str(args.source.resolve())], "parts": len(parts)}
    return _run_one(SourceRun(args.by, output, parts, None, KeepRules(), way, None, asked), args)


def _run_one(run: SourceRun, args: argparse.Namespace) -> int:
    with exclusive_lock(run.folder / "lock"):
        claim_folder(run.folder, run.asked)
        if not _run([run], args, run.folder):
            return 0
        documents = _tell(run)
    print(f"{run.folder}: {documents.kept} documents")
    return 0 if documents.kept else 1


def _run(runs: Sequence[SourceRun], args: argparse.Namespace, folder: Path) -> bool:
    tasks = args.tasks if args.tasks is not None else max(1, args.workers)
    executor = StageExecutor(args.executor, tasks, args.workers, tuple(args.executor_option), str(folder / "logs"))
    done = executor.run([stage for run in runs for stage in run.stages(tasks)], args.quiet)
    if not done:
        print(f"{folder}: submitted; the same command, once the jobs are done, says what became of the documents")
    return done


def _tell(run: SourceRun) -> Ledger:
    """Print what became of a source's documents, lines and so on; return the ledger of documents."""
    ledgers = [Ledger.from_json(one) for one in read_json(run.folder / LEDGER)["ledgers"]]
    for ledger in ledgers:
        print(f"{run.name}: {_commonest(ledger).summary()}")
    return ledgers[0]


def _commonest(ledger: Ledger) -> Ledger:
    """The ledger with its rare reasons as one number: a wiki has hundreds of templates."""
    rare = ledger.dropped.most_common()[_SHOWN:]
    dropped = Counter(dict(ledger.dropped.most_common(_SHOWN)))
    if rare:
        dropped[f"{len(rare)} other reasons"] = sum(count for _, count in rare)
    return replace(ledger, dropped=dropped)


def _settings(items: Sequence[str], option: str) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for item in items:
        if "=" not in item:
            raise UserError(f"{option} {item}: expected KEY=VALUE")
        apply_override(tree, item)
    return tree
