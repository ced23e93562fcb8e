"""`camelid selfinstruct generate|card|dedup`."""

import argparse
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camelid.errors import UserError
from camelid.files.ledger import write_ledgers
from camelid.files.lock import exclusive_lock
from camelid.files.paths import short_name
from camelid.files.read import file_hash, read_json
from camelid.files.write import write_jsonl
from camelid.models.model_run import ModelRun, OpenModel
from camelid.text.dedup_command import add_dedup_arguments, dedup_corpus

if TYPE_CHECKING:
    from selfinstruct.keep.rules import Rules
    from selfinstruct.methods.alpaca import ReplyFormat, ReplyFormatName
    from selfinstruct.run import GenerationRun
    from selfinstruct.seeds import Task


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
    _register_dedup(verbs.add_parser("dedup", help="drop near-duplicates from records of any number, on any cluster"))


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
    parser.add_argument("--quality-model", metavar="MODEL", help="drop what this model scores below the threshold")
    parser.add_argument("--quality-price", metavar="PROMPT,COMPLETION", help="like --price, for the quality model")
    parser.add_argument(
        "--quality-threshold", type=float, default=4.5, metavar="0..5", help="lowest score kept (default 4.5)"
    )  # AlpaGasus (Chen et al. 2023), section 3
    parser.add_argument("--seed", type=int, default=0, help="of the tasks shown (default 0)")
    parser.add_argument("--quiet", action="store_true", help="no progress display")
    add_model_arguments(parser)


def _register_dedup(parser: argparse.ArgumentParser) -> None:
    add_dedup_arguments(parser, "instruction records", "records")
    parser.set_defaults(run=run_dedup)


def run_generate(args: argparse.Namespace, open_model: OpenModel) -> int:
    """Generate, or say that it has been done; the journal answers whatever was asked before."""
    if args.count < 1:
        raise UserError("--count must be at least 1")
    if (args.method == "evol") != (args.instructions is not None):
        raise UserError("--method evol and --instructions FILE go together")
    if args.method != "alpaca" and (args.model == "offline" or args.format != "auto"):
        raise UserError(f"--method {args.method} has no --format and needs a --model other than offline")
    if args.quality_model == "offline":
        raise UserError("--quality-model offline: the embedded model cannot judge without a reference; name another")
    output = Path(args.output)
    with exclusive_lock(output.with_suffix(".lock")):
        return _generate(args, output, open_model)


def _generate(args: argparse.Namespace, output: Path, open_model: OpenModel) -> int:
    from camelid.progress import Progress
    from selfinstruct.keep.quality import Quality
    from selfinstruct.keep.rules import read_rules
    from selfinstruct.keep.selection import EvaluationQuestions, Selection
    from selfinstruct.run import GenerationRun
    from selfinstruct.seeds import OWN, read_seeds

    seeds_path = args.seeds or OWN
    seeds, rules = read_seeds(seeds_path), read_rules(args.rules)
    questions = [EvaluationQuestions(path) for path in args.decontaminate]
    teacher = open_model(args, output.with_suffix(".journal.jsonl"))
    asked = _asked(args, teacher.name, seeds_path)
    ledger = output.with_suffix(".ledger.json")
    if _finished(output, ledger, asked):
        print(f"{output}: already made")
        return 0
    before = [] if args.method == "evol" else [task.instruction for task in seeds]
    selection = Selection(before, rules, questions, compat=args.format == "compat")
    models = [teacher]
    with ExitStack() as stack:
        stack.enter_context(teacher)
        quality = None
        if args.quality_model:
            scorer = _open_scorer(args, open_model, output)
            scorer.limits = teacher.limits
            models.append(stack.enter_context(scorer))
            quality = Quality(scorer, args.quality_threshold)
        bar = stack.enter_context(Progress("generate", args.count, args.quiet))
        run = GenerationRun(teacher, selection, args.count, quality, bar)
        teacher.run(_make(args, run, seeds, rules, models[1:]))
    return _finish(args, run, models, output, asked)


def _finish(
    args: argparse.Namespace, run: "GenerationRun", models: list[ModelRun], output: Path, asked: dict[str, object]
) -> int:
    """Write what there is, explain it, and return the exit status."""
    write_jsonl(output, run.records)
    write_ledgers(
        output.with_suffix(".ledger.json"),
        run.ledgers,
        asked=asked,
        complete=run.stopped is None,
        stopped=run.stopped,
        sha256=file_hash(output),
        spent=[model.to_json() for model in models],
    )
    for counts in run.ledgers:
        print(counts.summary())
    print(f"{output}: {len(run.records)} records")
    for model in models:
        print(f"{model.name}: {model.summary()}")
    if run.stopped:
        print(f"camelid: stopped with {len(run.records)} of {args.count} records: {run.stopped}", file=sys.stderr)
        return 1
    return 0


def _open_scorer(args: argparse.Namespace, open_model: OpenModel, output: Path) -> ModelRun:
    """The quality model, opened like the teacher."""
    values = {**vars(args), "model": args.quality_model, "price": args.quality_price}
    return open_model(argparse.Namespace(**values), output.with_suffix(".quality.journal.jsonl"))


async def _make(
    args: argparse.Namespace, run: "GenerationRun", seeds: "list[Task]", rules: "Rules", others: list[ModelRun]
) -> None:
    """Run the method; close the connections of the other models."""
    async with AsyncExitStack() as stack:
        for model in others:
            stack.push_async_callback(model.close)
        if args.method == "self-instruct":
            from selfinstruct.methods.self_instruct import generate_self_instruct

            await generate_self_instruct(run, seeds, args.seed)
        elif args.method == "evol":
            from selfinstruct.methods.evol import generate_evol
            from selfinstruct.seeds import read_tasks

            await generate_evol(run, read_tasks(args.instructions), args.seed)
        else:
            await _make_by_alpaca(args, run, seeds, rules)


async def _make_by_alpaca(args: argparse.Namespace, run: "GenerationRun", seeds: "list[Task]", rules: "Rules") -> None:
    from selfinstruct.methods.alpaca import estimate_cost, generate_alpaca, open_format

    def form(name: "ReplyFormatName") -> "ReplyFormat":
        return open_format(name, seeds, args.seed, rules.language)

    first: ReplyFormatName = "json" if args.format == "auto" else args.format
    if run.model.name != "offline":
        print(estimate_cost(form(first), args.count, run.model.price), file=sys.stderr, flush=True)
    await generate_alpaca(run, form(first), fallback=form("text") if args.format == "auto" else None)


def run_card(args: argparse.Namespace) -> int:
    """Write the folder."""
    from selfinstruct.card import write_card

    records = Path(args.records)
    count = write_card(records, Path(args.output), args.title or records.stem)
    print(f"{args.output}: {count} records, README.md with plots, data/train.parquet, alpaca_data.json")
    return 0


def run_dedup(args: argparse.Namespace) -> int:
    """De-duplicate instruction records."""
    from selfinstruct.dedup import INSTRUCTION_RECORDS

    return dedup_corpus(args, INSTRUCTION_RECORDS)


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
        "decontaminate": {short_name(path): file_hash(path) for path in args.decontaminate},
        "quality": [args.quality_model, args.quality_threshold] if args.quality_model else None,
        "seed": args.seed,
    }


def _finished(output: Path, ledger: Path, asked: dict[str, object]) -> bool:
    """Whether the same command has already run to its end and its output is still what it wrote."""
    if not (output.is_file() and ledger.is_file()):
        return False
    facts = read_json(ledger)
    return bool(facts["asked"] == asked and facts["complete"] and facts["sha256"] == file_hash(output))
