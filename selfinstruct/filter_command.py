"""`camelid selfinstruct filter`."""

import argparse
import asyncio
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from camelid.errors import UserError
from camelid.files.ledger import write_ledgers
from camelid.files.lock import exclusive_lock
from camelid.files.read import file_hash
from camelid.files.write import write_jsonl
from camelid.models.model_run import ModelRun, OpenModel
from camelid.sandbox.arguments import add_sandbox_argument
from camelid.sandbox.execute import require_sandbox
from selfinstruct.keep_arguments import (
    CODE_RULES,
    DEFAULT_RULES,
    add_keep_arguments,
    check_keep_arguments,
    describe_keep_arguments,
    keep_inputs,
    open_scorer,
)
from selfinstruct.run_files import RunFiles

if TYPE_CHECKING:
    from selfinstruct.filter_records import RecordFilter


def register_filter(
    parser: argparse.ArgumentParser,
    open_model: OpenModel,
    add_model_arguments: Callable[[argparse.ArgumentParser], None],
) -> None:
    """Add what `filter` takes."""
    parser.add_argument("records", metavar="FILE", help="instruction, input, output: JSON Lines, an array or Parquet")
    parser.add_argument("--output", required=True, metavar="FILE", help="the records that are kept, JSON Lines")
    parser.add_argument("--seeds", metavar="FILE", help="seed tasks that the records must differ from, too")
    parser.add_argument(
        "--similarity", action="store_true", help="write most_similar and avg_similarity, as generate does (slower)"
    )
    parser.add_argument(
        "--execute", action="store_true", help="run each output's code with the record's `test` (or `test_list`)"
    )
    add_keep_arguments(parser)
    add_sandbox_argument(parser)
    add_model_arguments(parser)
    parser.set_defaults(run=lambda args: run_filter(args, open_model))


def run_filter(args: argparse.Namespace, open_model: OpenModel) -> int:
    """Filter; status 1 if the quality model failed for good, or nothing is kept."""
    check_keep_arguments(args, None)
    if args.model != "offline":
        raise UserError("--model: filter asks nobody but --quality-model")
    if args.execute:
        require_sandbox(args.sandbox)
    files = RunFiles(Path(args.output))
    files.check(filter(None, (args.records, args.seeds, *keep_inputs(args))))
    with exclusive_lock(files.lock):
        return _filter(args, files, open_model)


def _filter(args: argparse.Namespace, files: RunFiles, open_model: OpenModel) -> int:
    from camelid.files.records import read_records
    from camelid.models.program_runner import open_runner
    from selfinstruct.filter_records import RecordFilter
    from selfinstruct.keep.code_checker import CodeChecker
    from selfinstruct.keep.nearness import SAME
    from selfinstruct.keep.quality import Quality
    from selfinstruct.keep.rules import read_rules
    from selfinstruct.keep.selection import Selection, read_evaluations
    from selfinstruct.seeds import read_seeds

    asked = _asked(args)
    if files.is_finished(asked):
        print(f"{files.output}: already made")
        return 0
    before = [task.instruction for task in read_seeds(args.seeds)] if args.seeds else []
    selection = Selection(
        before,
        read_rules(args.rules or _rules(args)),
        read_evaluations(args.decontaminate),
        with_fields=args.similarity,
    )
    passing = RecordFilter(selection, with_fields=args.similarity)
    with ExitStack() as stack:
        scorer = stack.enter_context(open_scorer(args, open_model, files)) if args.quality_model else None
        if args.execute:
            passing.nearness = SAME
            passing.checker = CodeChecker(stack.enter_context(open_runner(files.programs_journal, args.sandbox)))
        passing.quality = Quality(scorer, args.quality_threshold, args.quality_prompt) if scorer else None
        work = passing.run(read_records(args.records))
        kept = scorer.run(work) if scorer else asyncio.run(work)
    write_jsonl(files.output, kept)
    write_ledgers(
        files.ledger,
        [passing.records],
        asked=asked,
        complete=passing.stopped is None,
        stopped=passing.stopped,
        sha256=file_hash(files.output),
        spent=[scorer.to_json()] if scorer else [],
    )
    return _report(files, passing, scorer)


def _report(files: RunFiles, passing: "RecordFilter", scorer: ModelRun | None) -> int:
    """Say what became of the records; the exit status."""
    print(passing.records.summary())
    for reason, place in passing.records.examples.items():
        print(f"dropped: {place}: {reason}", file=sys.stderr)
    print(f"{files.output}: {passing.records.kept} records")
    if scorer:
        print(f"{scorer.name}: {scorer.summary()}")
    if passing.stopped:
        print(f"camelid: stopped after {passing.records.read} records: {passing.stopped}", file=sys.stderr)
    return 0 if passing.records.kept and not passing.stopped else 1


def _asked(args: argparse.Namespace) -> dict[str, object]:
    """What the output follows from; a finished run with the same is not run again."""
    return {
        "method": "filter",
        "instructions": file_hash(args.records),
        "seeds": file_hash(args.seeds) if args.seeds else None,
        "similarity": args.similarity,
        **({"execute": True} if args.execute else {}),
        **describe_keep_arguments(args, _rules(args)),
    }


def _rules(args: argparse.Namespace) -> str:
    """The rules where the user names none."""
    return CODE_RULES if args.execute else DEFAULT_RULES
