"""`camelid selfinstruct generate|card`."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camelid.errors import UserError
from camelid.jsonl import file_hash, read_json, write_jsonl
from camelid.ledger import write_ledgers
from camelid.lock import exclusive
<<<<<<< HEAD
from camelid.progress import Progress

if TYPE_CHECKING:
    from selfinstruct.generate import Format
    from selfinstruct.run import Run
    from selfinstruct.seeds import Task
=======
from camelid.model_run import ModelRun
>>>>>>> llm-ready

OpenModel = Callable[[argparse.Namespace, Path], ModelRun]


def register(rooms: Any, open_model: OpenModel, add_model_arguments: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add the `selfinstruct` commands."""
    room = rooms.add_parser("selfinstruct", help="make instruction data from seed tasks and a model")
    verbs = room.add_subparsers(metavar="VERB", required=True)
    _register_generate(verbs.add_parser("generate", help="write new instruction records"), add_model_arguments)
    verbs.choices["generate"].set_defaults(run=lambda args: run_generate(args, open_model))
    card = verbs.add_parser("card", help="records to a folder to publish: Parquet, Alpaca JSON, data card, plots")
    card.add_argument("records", metavar="FILE", help="what generate wrote; its ledger is read too")
    card.add_argument("--output", required=True, metavar="DIR", help="the folder; datasets.load_dataset opens it")
    card.add_argument("--title", metavar="TEXT", help="of the card (default: the file's name)")
    card.set_defaults(run=run_card)


def _register_generate(
    parser: argparse.ArgumentParser, add_model_arguments: Callable[[argparse.ArgumentParser], None]
) -> None:
    parser.add_argument("--output", required=True, metavar="FILE", help="the records, JSON Lines")
    parser.add_argument("--count", type=int, required=True, metavar="N", help="records to make, exactly")
    parser.add_argument(
        "--method", choices=("alpaca", "self-instruct", "evol"), default="alpaca", help="default: alpaca, one step"
    )
    parser.add_argument("--seeds", metavar="FILE", help="seed tasks in Self-Instruct's format (default: our own)")
    parser.add_argument("--instructions", metavar="FILE", help="records to evolve (only --method evol)")
    parser.add_argument(
        "--format",
        choices=("auto", "json", "text", "compat"),
        default="auto",
        help="of the replies (only --method alpaca): structured output where the server has it (auto), structured "
        "output, numbered text, or numbered text read and filtered exactly as Alpaca did",
    )
    parser.add_argument(
        "--rules", default="en", metavar="NAME|FILE", help="instruction rules: en, zh or a YAML file (default en)"
    )
    parser.add_argument(
        "--decontaminate", nargs="+", default=[], metavar="FILE", help="evaluation questions to keep out of the records"
    )
<<<<<<< HEAD
    parser.add_argument("--quality-model", metavar="MODEL", help="drop what this model scores below the threshold")
    parser.add_argument(
        "--quality-threshold", type=float, default=4.5, metavar="0..5", help="lowest score kept (default 4.5)"
    )  # AlpaGasus (Chen et al. 2023), section 3
    parser.add_argument("--seed", type=int, default=0, help="of the tasks shown (default 0)")
    parser.add_argument("--max-requests", type=int, metavar="N", help="give up after this many requests")
=======
    parser.add_argument("--seed", type=int, default=0, help="of the seed tasks shown (default 0)")
>>>>>>> llm-ready
    parser.add_argument("--quiet", action="store_true", help="no progress display")
    add_model_arguments(parser)


def run_generate(args: argparse.Namespace, open_model: OpenModel) -> int:
    """Generate, or say that it has been done; the journal answers whatever was asked before."""
<<<<<<< HEAD
    if args.count < 1 or args.concurrency < 1:
        raise UserError("--count and --concurrency must be at least 1")
    if (args.method == "evol") != (args.instructions is not None):
        raise UserError("--method evol and --instructions FILE go together")
    if args.method != "alpaca" and (args.model == "offline" or args.format != "auto"):
        raise UserError(f"--method {args.method} has no --format and needs a --model other than offline")
=======
    if args.count < 1:
        raise UserError("--count must be at least 1")
>>>>>>> llm-ready
    output = Path(args.output)
    with exclusive(output.with_suffix(".lock")):
        return _generate(args, output, open_model)


def _generate(args: argparse.Namespace, output: Path, open_model: OpenModel) -> int:
    from selfinstruct.filters import read_rules
    from selfinstruct.quality import Quality
    from selfinstruct.run import Run
    from selfinstruct.seeds import OWN, read_seeds
    from selfinstruct.selection import Questions, Selection

    seeds_path = args.seeds or OWN
<<<<<<< HEAD
    seeds, rules = read_seeds(seeds_path), read_rules(args.rules)
    questions = [Questions(path) for path in args.decontaminate]
    llm = open_model(args.model, args.base_url, args.concurrency)
    asked = _asked(args, llm.name, seeds_path)
=======
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
>>>>>>> llm-ready
    ledger = output.with_suffix(".ledger.json")
    if _finished(output, ledger, asked):
        print(f"{output}: already made")
        return 0
<<<<<<< HEAD
    journal = Journal(output.with_suffix(".journal.jsonl"))
    journaled = Journaled(llm, journal)
    quality = None
    if args.quality_model:
        scorer = Journaled(open_model(args.quality_model, args.base_url, args.concurrency), journal)
        quality = Quality(scorer, args.quality_threshold)
    before = [] if args.method == "evol" else [task.instruction for task in seeds]
    selection = Selection(before, rules, questions, compat=args.format == "compat")
    with Progress("generate", args.count, args.quiet) as bar:
        run = Run(journaled, selection, args.count, args.concurrency, quality, bar)
        asyncio.run(_make(args, run, seeds, rules.language, journal))
    journal.close()
    write_jsonl(output, run.records)
=======
    with model:
        outcome = model.run(generate(model, seeds, args.count, args.seed, model.concurrency, questions, args.quiet))
    write_jsonl(output, outcome.records)
>>>>>>> llm-ready
    write_ledgers(
        ledger,
        run.ledgers,
        asked=asked,
        complete=run.stopped is None,
        stopped=run.stopped,
        sha256=file_hash(output),
<<<<<<< HEAD
        prompt_tokens=run.prompt_tokens,
        completion_tokens=run.completion_tokens,
    )
    for counts in run.ledgers:
        print(counts.summary())
    print(f"{output}: {len(run.records)} records by {llm.name}; {journaled.sent} requests sent, ", end="")
    print(f"{journaled.replayed} answered from the journal")
    if run.stopped:
        print(f"camelid: stopped with {len(run.records)} of {args.count} records: {run.stopped}", file=sys.stderr)
=======
        spent=model.to_json(),
    )
    print(outcome.replies.summary())
    print(outcome.tasks.summary())
    print(f"{output}: {len(outcome.records)} records by {model.name}; {model.summary()}")
    if outcome.stopped:
        print(
            f"camelid: stopped with {len(outcome.records)} of {args.count} records: {outcome.stopped}", file=sys.stderr
        )
>>>>>>> llm-ready
        return 1
    return 0


async def _make(args: argparse.Namespace, run: "Run", seeds: "list[Task]", language: str, journal: Journal) -> None:
    """Run the method."""
    if args.method == "self-instruct":
        from selfinstruct.self_instruct import self_instruct

        await self_instruct(run, seeds, args.seed)
    elif args.method == "evol":
        from selfinstruct.evol import evolve
        from selfinstruct.seeds import read_tasks

        await evolve(run, read_tasks(args.instructions), args.seed)
    else:
        from selfinstruct.generate import generate, open_format

        def form(name: Any) -> "Format":
            return open_format(name, seeds, args.seed, language)

        if args.format != "auto":
            await generate(run, form(args.format))
        elif _answered_in_text(run.llm, journal, form("text")):
            await generate(run, form("text"))
        else:
            await generate(run, form("json"), fallback=form("text"))


def _answered_in_text(llm: LLM, journal: Journal, text: "Format") -> bool:
    """Whether an earlier run of the same command found no structured output: its journal has replies in text."""
    from selfinstruct.generate import PROBES

    probes = (request for request, _ in zip(text.requests, range(PROBES), strict=False))
    return any(journal.get(request.key(llm.name)) for request in probes)


def run_card(args: argparse.Namespace) -> int:
    """Write the folder."""
    from selfinstruct.card import write_card

    records = Path(args.records)
    count = write_card(records, Path(args.output), args.title or records.stem)
    print(f"{args.output}: {count} records, README.md with plots, data/train.parquet, alpaca_data.json")
    return 0


def _asked(args: argparse.Namespace, model: str, seeds: str | Path) -> dict[str, object]:
    """What the records follow from; a finished run with the same is not run again."""
    return {
        "model": model,
        "method": args.method,
        "format": args.format,
        "count": args.count,
        "seeds": file_hash(seeds),
        "instructions": file_hash(args.instructions) if args.instructions else None,
        "rules": args.rules if not Path(args.rules).is_file() else file_hash(args.rules),
        "decontaminate": {Path(path).name: file_hash(path) for path in args.decontaminate},
        "quality": [args.quality_model, args.quality_threshold] if args.quality_model else None,
        "seed": args.seed,
        "max_requests": args.max_requests,
    }


def _finished(output: Path, ledger: Path, asked: dict[str, object]) -> bool:
    """Whether the same command has already run to its end and its output is still what it wrote."""
    if not (output.is_file() and ledger.is_file()):
        return False
    facts = read_json(ledger)
    return bool(facts["asked"] == asked and facts["complete"] and facts["sha256"] == file_hash(output))
