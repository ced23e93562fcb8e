"""The verb `dedup`, for any kind of records: its arguments, and the run that can be stopped and gone on with."""

import argparse
from pathlib import Path

from camelid.errors import UserError
from camelid.files.ledger import write_ledgers
from camelid.files.lock import exclusive_lock
from camelid.files.paths import short_names, suggest_path
from camelid.files.read import file_hash, read_json
from camelid.files.write import write_json
from camelid.text.corpus_kind import CorpusKind


def add_dedup_arguments(parser: argparse.ArgumentParser, records: str, unit: str) -> None:
    """Add what every `dedup` takes.

    Args:
        parser: of the verb.
        records: what the folder holds, for the help.
        unit: what a record is, in the plural.
    """
    parser.add_argument("source", metavar="FOLDER", help=f"{records} in *.jsonl or *.jsonl.gz files")
    parser.add_argument("--output", required=True, metavar="DIR", help="gets data/*.jsonl.gz and ledger.json")
    parser.add_argument(
        "--decontaminate", nargs="+", default=[], metavar="FILE", help=f"evaluation questions to keep out of the {unit}"
    )
    parser.add_argument("--tasks", type=int, default=1, metavar="N", help="pieces the files are shared out to")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="pieces worked on at the same time")
    add_executor_arguments(parser)


def add_executor_arguments(parser: argparse.ArgumentParser) -> None:
    """Add where datatrove runs the pieces: `--executor` and its options."""
    parser.add_argument(
        "--executor", choices=("local", "slurm", "ray"), default="local", help="datatrove's; default: this machine"
    )
    parser.add_argument(
        "--executor-option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="further arguments of datatrove's executor, such as partition=cpu",
    )


def dedup_corpus(args: argparse.Namespace, kind: CorpusKind) -> int:
    """Run or submit the stages that are not done; then say what became of the records."""
    if args.tasks < 1 or args.workers < 1:
        raise UserError("--tasks and --workers must be at least 1")
    try:
        from camelid.text.datatrove_runs import parse_options, run_stages
        from camelid.text.dedup_stages import dedup_stages, read_ledgers, record_files
    except ImportError as error:
        raise UserError(f"dedup needs datatrove ({error}); pip install 'camelid[scale]'") from None

    output, source = Path(args.output).resolve(), _find_folder(args.source)
    _refuse_meeting(source, output)
    records, journals = record_files(source)
    if not records:
        raise UserError(f"{args.source}: no *.jsonl or *.jsonl.gz file there")
    if journals:
        print(f"not read, for they hold API replies and no records: {', '.join(journals)}")
    options = parse_options(args.executor_option, args.executor)
    reason_to_drop = kind.keep_out(args.decontaminate) if args.decontaminate else None
    decontaminate = {name: file_hash(path) for name, path in short_names(args.decontaminate).items()}
    asked = {"source": source, "tasks": args.tasks, "decontaminate": decontaminate}
    with exclusive_lock(output / "lock"):
        if (output / "asked.json").exists() and read_json(output / "asked.json") != asked:
            raise UserError(f"{output}: was begun with other options (asked.json); name another --output")
        write_json(output / "asked.json", asked)
        stages = dedup_stages(kind, source, str(output), reason_to_drop, args.tasks)
        run_stages(args.executor, stages, str(output / "logs"), args.workers, options)
        ledgers = read_ledgers(output / "logs", kind)
        if ledgers is None:
            print(f"{output}: submitted; the same command, once the jobs are done, says what became of the {kind.unit}")
            return 0
        write_ledgers(output / "ledger.json", ledgers, asked=asked)
    for counts in ledgers:
        print(counts.summary())
    return 0


def _refuse_meeting(source: str, output: Path) -> None:
    """Refuse an output that would be read the next time, or a source that would be written over."""
    written = {output / name for name in ("data", "work", "logs")}
    if output.is_relative_to(source) or written & {Path(source), *Path(source).parents}:
        raise UserError(f"--output {output}: lies in {source}, which is read, or holds it; give another folder")


def _find_folder(source: str) -> str:
    """The folder's whole path, or its address as it is: jobs run in other folders."""
    if "://" in source:
        return source
    if not Path(source).resolve().is_dir():
        raise UserError(f"{source}: no such folder{suggest_path(source)}")
    return str(Path(source).resolve())
