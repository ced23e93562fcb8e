"""`camelid selfinstruct generate|card|filter|dedup|sample|ghost|distill|select`."""

import argparse
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camelid.errors import UserError
from camelid.files.ledger import write_ledgers
from camelid.files.lock import exclusive_lock
from camelid.files.read import file_hash
from camelid.files.write import write_jsonl
from camelid.models.failure_streak import PATIENCE
from camelid.models.model_run import ModelRun, OpenModel
from camelid.models.request_options import read_request_options
from camelid.sandbox.arguments import add_sandbox_argument
from camelid.sandbox.execute import require_sandbox
from camelid.text.dedup_command import add_dedup_arguments, dedup_corpus
from selfinstruct.answer_arguments import (
    add_answer_arguments,
    are_answers_apart,
    check_answer_arguments,
    describe_answer_arguments,
    open_answerer,
)
from selfinstruct.filter_command import register_filter
from selfinstruct.keep_arguments import (
    add_keep_arguments,
    check_keep_arguments,
    describe_keep_arguments,
    keep_inputs,
    open_scorer,
)
from selfinstruct.methods.method import AUTO, Method, MethodInputs
from selfinstruct.methods.table import METHODS
from selfinstruct.run import BARREN
from selfinstruct.run_files import RunFiles
from selfinstruct.sample_command import register_sampling
from selfinstruct.seeds import KINDS
from selfinstruct.select_command import register_select

if TYPE_CHECKING:
    from selfinstruct.run import GenerationRun


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
    passing = verbs.add_parser("filter", help="an existing set through the rules, similarity and quality of generate")
    register_filter(passing, open_model, add_model_arguments)
    _register_dedup(verbs.add_parser("dedup", help="drop near-duplicates from records of any number, on any cluster"))
    register_sampling(verbs, open_model, add_model_arguments)
    register_select(verbs.add_parser("select", help="the best of scored candidates, to train on or as preferences"))


def _register_generate(
    parser: argparse.ArgumentParser, add_model_arguments: Callable[[argparse.ArgumentParser], None]
) -> None:
    parser.add_argument("--output", required=True, metavar="FILE", help="the records, JSON Lines")
    parser.add_argument("--count", type=int, required=True, metavar="N", help="records to make, exactly")
    default = next(iter(METHODS.values()))
    parser.add_argument(
        "--method", choices=tuple(METHODS), default=default.name, help=f"default: {default.name}, {default.help}"
    )
    parser.add_argument("--seeds", metavar="FILE", help="seed tasks in Self-Instruct's format (default: our own)")
    parser.add_argument(
        "--seed-kinds", nargs="+", choices=KINDS, default=[], help="further seed tasks of our own to add (default none)"
    )
    parser.add_argument("--instructions", metavar="FILE", help=f"records to evolve (only --method {_evolving()})")
    parser.add_argument("--texts", metavar="FILE", help=f"what becomes answers (only --method {_texts()}): field text")
    parser.add_argument("--prompt", metavar="FILE", help=f"what the teacher is told (only --method {_prompted()})")
    parser.add_argument(
        "--persona", metavar="FILE", help=f"people whose tasks to write, one a line (only --method {_peopled()})"
    )
    parser.add_argument(
        "--turns", type=int, default=1, metavar="N", help=f"of the user in a record (only --method {_turning()})"
    )
    choices = {choice.name: None for method in METHODS.values() for choice in method.formats}
    formats = "; ".join(_describe_formats(method) for method in METHODS.values() if method.formats)
    parser.add_argument("--format", choices=tuple(choices), default=AUTO, help=f"of the replies {formats}")
    add_keep_arguments(parser)
    add_answer_arguments(parser)
    add_sandbox_argument(parser)
    parser.add_argument("--seed", type=int, default=0, help="of the tasks shown (default 0)")
    parser.add_argument(
        "--patience",
        type=int,
        metavar="N",
        help=f"replies without a record to stop after (default {PATIENCE} where one reason took all, else {BARREN})",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress display")
    add_model_arguments(parser)


def _register_dedup(parser: argparse.ArgumentParser) -> None:
    add_dedup_arguments(parser, "instruction records", "records")
    parser.set_defaults(run=run_dedup)


def run_generate(args: argparse.Namespace, open_model: OpenModel) -> int:
    """Generate, or say that it has been done; the journal answers whatever was asked before."""
    for option, value in (("--count", args.count), ("--patience", args.patience)):
        if value is not None and value < 1:
            raise UserError(f"{option} must be at least 1")
    method = METHODS[args.method]
    if method.evolves != (args.instructions is not None):
        raise UserError(f"--method {_evolving()} and --instructions FILE go together")
    _check_options(method, args.model, args.format)
    _check_method_options(method, args)
    if method.executes:
        require_sandbox(args.sandbox)
    check_keep_arguments(args, args.model)
    check_answer_arguments(args)
    files = RunFiles(Path(args.output))
    files.check(
        filter(None, (args.seeds, args.instructions, args.texts, args.prompt, args.persona, *keep_inputs(args)))
    )
    with exclusive_lock(files.lock):
        return _generate(args, files, open_model)


def _check_options(method: Method, model: str, format: str) -> None:
    """Refuse a model or a format that the method has no use for."""
    wrong_model = model == "offline" and not method.offline
    if wrong_model or format not in {AUTO, *(choice.name for choice in method.formats)}:
        formats = ", ".join(choice.name for choice in method.formats)
        limits = [f"has only --format {formats}" if formats else "has no --format"]
        limits += [] if method.offline else ["needs a --model other than offline"]
        raise UserError(f"--method {method.name} {' and '.join(limits)}")


def _check_method_options(method: Method, args: argparse.Namespace) -> None:
    """Refuse options that the method has no use for."""
    if method.from_texts != (args.texts is not None):
        raise UserError(f"--method {_texts()} and --texts FILE go together")
    if args.prompt and not method.has_prompt:
        raise UserError(f"--prompt: only with --method {_prompted()}")
    if args.persona and not method.has_personas:
        raise UserError(f"--persona: only with --method {_peopled()}")
    if args.turns < 1 or (args.turns > 1 and (not method.has_turns or are_answers_apart(args))):
        raise UserError(f"--turns: at least 1; more only with --method {_turning()} and its own answers")
    if are_answers_apart(args) and not method.answers_apart:
        raise UserError(f"--method {method.name} has its answers; leave --answers, --answer-model, --answer-tokens out")


def _named(asked: Callable[[Method], bool]) -> str:
    """The methods of which something is true, for a sentence."""
    return " or ".join(method.name for method in METHODS.values() if asked(method))


def _evolving() -> str:
    """The methods that start from `--instructions`."""
    return _named(lambda method: method.evolves)


def _texts() -> str:
    """The methods that start from `--texts`."""
    return _named(lambda method: method.from_texts)


def _prompted() -> str:
    """The methods whose prompt the user can write."""
    return _named(lambda method: method.has_prompt)


def _peopled() -> str:
    """The methods that write the tasks of people whom the user describes."""
    return _named(lambda method: method.has_personas)


def _turning() -> str:
    """The methods that make conversations."""
    return _named(lambda method: method.has_turns)


def _describe_formats(method: Method) -> str:
    """What `--format` may be with a method."""
    *others, last = (choice.help for choice in method.formats)
    return f"(only --method {method.name}): {', '.join(others)}, or {last}"


def _generate(args: argparse.Namespace, files: RunFiles, open_model: OpenModel) -> int:
    from camelid.models.program_runner import open_runner
    from camelid.progress import Progress
    from selfinstruct.keep.quality import Quality
    from selfinstruct.keep.rules import read_rules
    from selfinstruct.keep.selection import Selection, read_evaluations
    from selfinstruct.methods.task_prompt import AS_SHOWN, SHORT
    from selfinstruct.run import GenerationRun
    from selfinstruct.seeds import OWN, read_seeds, read_tasks, read_texts

    method = METHODS[args.method]
    seeds_path = args.seeds or OWN
    seeds, rules = read_seeds(seeds_path, args.seed_kinds), read_rules(args.rules or method.rules)
    questions = read_evaluations(args.decontaminate)
    teacher = open_model(args, files.journal)
    asked = _asked(args, teacher.name, seeds_path)
    if files.is_finished(asked):
        print(f"{files.output}: already made")
        return 0
    instructions = read_tasks(args.instructions) if method.evolves else []
    inputs = MethodInputs(
        seeds,
        instructions,
        args.seed,
        rules.language,
        args.format,
        texts=read_texts(args.texts) if method.from_texts else (),
        turns=args.turns,
        prompt=args.prompt,
        personas=args.persona,
        length=AS_SHOWN if args.seed_kinds else SHORT,
    )
    before = [] if method.evolves else [task.instruction for task in seeds]
    selection = Selection(before, rules, questions, compat=method.is_compat(args.format))
    models = [teacher]
    with ExitStack() as stack:
        stack.enter_context(teacher)
        if method.executes:
            programs = stack.enter_context(open_runner(files.programs_journal, args.sandbox))
            inputs = replace(inputs, programs=programs)
        quality = None
        if args.quality_model:
            scorer = open_scorer(args, open_model, files)
            scorer.limits = teacher.limits
            models.append(stack.enter_context(scorer))
            quality = Quality(scorer, args.quality_threshold, args.quality_prompt)
        bar = stack.enter_context(Progress("generate", args.count, args.quiet))
        run = GenerationRun(teacher, selection, args.count, quality, bar)
        run.barren, run.patience = args.patience or BARREN, args.patience or PATIENCE
        run.answerer, more = open_answerer(args, open_model, files, teacher, stack)
        if run.answerer:
            run.answerer.judge = quality
        models += more
        teacher.run(_make(run, method, inputs, models[1:]))
    return _finish(args, run, models, files, asked)


def _finish(
    args: argparse.Namespace, run: "GenerationRun", models: list[ModelRun], files: RunFiles, asked: dict[str, object]
) -> int:
    """Write what there is, explain it, and return the exit status."""
    from conversations.candidates import write_candidates

    write_jsonl(files.output, run.records)
    if run.answerer:
        write_candidates(files.candidates, run.answerer.candidates)
    if args.turns > 1:  # a record is read as its first exchange
        names = ("id", "messages")
        write_jsonl(files.conversations, ({name: record[name] for name in names} for record in run.records))
    write_ledgers(
        files.ledger,
        run.ledgers,
        asked=asked,
        complete=run.stopped is None,
        stopped=run.stopped,
        sha256=file_hash(files.output),
        spent=[model.to_json() for model in models],
    )
    for counts in run.ledgers:
        print(counts.summary())
    print(f"{files.output}: {len(run.records)} records")
    for model in models:
        print(f"{model.name}: {model.summary()}")
    if run.stopped:
        print(f"camelid: stopped with {len(run.records)} of {args.count} records: {run.stopped}", file=sys.stderr)
        return 1
    return 0


async def _make(run: "GenerationRun", method: Method, inputs: MethodInputs, others: list[ModelRun]) -> None:
    """Run the method; close the connections of the other models."""
    async with AsyncExitStack() as stack:
        for model in others:
            stack.push_async_callback(model.close)
        await method.generate(run, inputs)


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
        **describe_keep_arguments(args, METHODS[args.method].rules),
        **describe_answer_arguments(args),
        **{name: file_hash(path) for name in ("texts", "prompt", "persona") if (path := getattr(args, name))},
        **({"seed_kinds": sorted(args.seed_kinds)} if args.seed_kinds else {}),
        **({"turns": args.turns} if args.turns > 1 else {}),
        "seed": args.seed,
        **{name: value for name, value in asdict(read_request_options(args)).items() if value is not None},
    }
