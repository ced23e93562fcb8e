"""`camelid selfinstruct generate`."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from camelid.errors import UserError
from camelid.jsonl import file_hash, read_json, write_jsonl
from camelid.ledger import write_ledgers
from camelid.lock import exclusive
from camelid.model_run import ModelRun

OpenModel = Callable[[argparse.Namespace, Path], ModelRun]


def register(rooms: Any, open_model: OpenModel, add_model_arguments: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add the `selfinstruct` commands."""
    room = rooms.add_parser("selfinstruct", help="make instruction data from seed tasks and a model")
    verbs = room.add_subparsers(metavar="VERB", required=True)
    parser = verbs.add_parser("generate", help="write new instruction records")
    parser.add_argument("--output", required=True, metavar="FILE", help="the records, JSON Lines")
    parser.add_argument("--count", type=int, required=True, metavar="N", help="records to make, exactly")
    parser.add_argument("--seeds", metavar="FILE", help="seed tasks in Self-Instruct's format (default: our own)")
    parser.add_argument(
        "--decontaminate", nargs="+", default=[], metavar="FILE", help="evaluation questions to keep out of the records"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the seed tasks shown (default 0)")
    parser.add_argument("--quiet", action="store_true", help="no progress display")
    add_model_arguments(parser)
    parser.set_defaults(run=lambda args: run(args, open_model))


def run(args: argparse.Namespace, open_model: OpenModel) -> int:
    """Generate, or say that it has been done; the journal answers whatever was asked before."""
    if args.count < 1:
        raise UserError("--count must be at least 1")
    output = Path(args.output)
    with exclusive(output.with_suffix(".lock")):
        return _run(args, output, open_model)


def _run(args: argparse.Namespace, output: Path, open_model: OpenModel) -> int:
    from conversations.decontaminate import read_question_texts
    from selfinstruct.generate import generate
    from selfinstruct.seeds import OWN, read_seeds

    seeds_path = args.seeds or OWN
    seeds = read_seeds(seeds_path)
    questions = [text for path in args.decontaminate for text in read_question_texts(path)]
    model = open_model(args, output.with_suffix(".journal.jsonl"))
    asked = {
        "model": model.name,
        "count": args.count,
        "seeds": file_hash(seeds_path),
        "decontaminate": [file_hash(path) for path in args.decontaminate],
        "seed": args.seed,
    }
    ledger = output.with_suffix(".ledger.json")
    if _finished(output, ledger, asked):
        print(f"{output}: already made")
        return 0
    with model:
        outcome = model.run(generate(model, seeds, args.count, args.seed, model.concurrency, questions, args.quiet))
    write_jsonl(output, outcome.records)
    write_ledgers(
        ledger,
        [outcome.replies, outcome.tasks],
        asked=asked,
        complete=outcome.stopped is None,
        sha256=file_hash(output),
        spent=model.to_json(),
    )
    print(outcome.replies.summary())
    print(outcome.tasks.summary())
    print(f"{output}: {len(outcome.records)} records by {model.name}; {model.summary()}")
    if outcome.stopped:
        print(
            f"camelid: stopped with {len(outcome.records)} of {args.count} records: {outcome.stopped}", file=sys.stderr
        )
        return 1
    return 0


def _finished(output: Path, ledger: Path, asked: dict[str, object]) -> bool:
    """Whether the same command has already run to its end and its output is still what it wrote."""
    if not (output.is_file() and ledger.is_file()):
        return False
    facts = read_json(ledger)
    return bool(facts["asked"] == asked and facts["complete"] and facts["sha256"] == file_hash(output))
