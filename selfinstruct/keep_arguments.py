"""What must be kept out, on the command line: the same for new records and for an existing set."""

import argparse
from collections.abc import Iterable
from pathlib import Path

from camelid.errors import UserError
from camelid.files.paths import short_names
from camelid.files.read import file_hash
from camelid.models.model_run import ModelRun, OpenModel
from selfinstruct.run_files import RunFiles

DEFAULT_RULES, CODE_RULES = "en", "code"  # names of rules that come with Camelid


def add_keep_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--rules`, `--decontaminate` and the quality model."""
    parser.add_argument(
        "--rules",
        metavar="NAME|FILE",
        help=f"instruction rules: {DEFAULT_RULES}, zh, {CODE_RULES} or a YAML file (default {DEFAULT_RULES}, for code "
        f"{CODE_RULES})",
    )
    parser.add_argument(
        "--decontaminate", nargs="+", default=[], metavar="FILE", help="evaluation questions to keep out of the records"
    )
    parser.add_argument("--quality-model", metavar="MODEL", help="drop what this model scores below the threshold")
    parser.add_argument("--quality-price", metavar="PROMPT,COMPLETION", help="like --price, for the quality model")
    parser.add_argument("--quality-prompt", metavar="FILE", help="what it is asked, like selfinstruct/data/quality.txt")
    parser.add_argument(
        "--quality-threshold", type=float, default=4.5, metavar="0..5", help="lowest score kept (default 4.5)"
    )  # AlpaGasus (Chen et al. 2023), section 3


def check_keep_arguments(args: argparse.Namespace, teacher: str | None) -> None:
    """Refuse a quality model that cannot score.

    Args:
        args: the parsed arguments.
        teacher: whose tasks will be scored; None for a set that exists.
    """
    if args.quality_model == "offline" != teacher:
        raise UserError("--quality-model offline: the embedded model can score its own tasks alone; name another")


def keep_inputs(args: argparse.Namespace) -> Iterable[str]:
    """The files that these arguments read."""
    return filter(None, (args.rules, args.quality_prompt, *args.decontaminate))


def open_scorer(args: argparse.Namespace, open_model: OpenModel, files: RunFiles) -> ModelRun:
    """The quality model, opened like a teacher."""
    values = {**vars(args), "model": args.quality_model, "price": args.quality_price, "temperature": None}
    return open_model(argparse.Namespace(**values), files.quality_journal)


def describe_keep_arguments(args: argparse.Namespace, rules: str) -> dict[str, object]:
    """For a ledger: what the arguments ask for, files by their SHA-256; `rules` where they name none."""
    rules = args.rules or rules
    return {
        "rules": rules if not Path(rules).is_file() else file_hash(rules),
        "decontaminate": {name: file_hash(path) for name, path in short_names(args.decontaminate).items()},
        "quality": [args.quality_model, args.quality_threshold] if args.quality_model else None,
        **({"quality_prompt": file_hash(args.quality_prompt)} if args.quality_prompt else {}),
    }
