"""`camelid conversations convert`."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from camelid.errors import UserError
from conversations.formats.table import FORMATS
from conversations.unreadable import MOST_UNREADABLE, UNREADABLE, judge_unreadable, tell_faults

if TYPE_CHECKING:
    from camelid.files.ledger import Ledger
    from conversations.batch import ConversionWork

LEDGER = ".ledger.json"  # what the name of the output's ledger ends with


def register_convert(verbs: Any) -> None:
    """Add the `convert` verb."""
    parser = verbs.add_parser("convert", help="read chats in any known format, clean them, write conversations")
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="FILE",
        help="JSON, JSON Lines, CSV (also packed), Parquet, or a folder saved by datasets",
    )
    parser.add_argument("--output", required=True, metavar="FILE", help="the conversations, JSON Lines")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes; the output is the same")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    most = f"exit with 1 if a larger share of the records cannot be read (default {MOST_UNREADABLE:g})"
    parser.add_argument("--max-unreadable", type=float, default=MOST_UNREADABLE, metavar="SHARE", help=most)
    add_work_arguments(parser)
    _add_whole(parser)
    parser.set_defaults(run=run_convert)


def add_work_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is done with each record by itself."""
    group = parser.add_argument_group("reading")
    group.add_argument("--format", choices=tuple(FORMATS), help="of all inputs (detected record by record if left out)")
    last = " or ".join(dict.fromkeys(format.last_branch for format in FORMATS.values() if format.last_branch))
    group.add_argument("--branches", choices=["all", "last"], default="all", help=f"of a tree: all, or the {last}")
    group = parser.add_argument_group("cleaning")
    switch = argparse.BooleanOptionalAction
    group.add_argument(
        "--html", action=switch, help="turn answers that are HTML into Markdown (default: of chat pages)"
    )
    group.add_argument(
        "--captions", action=switch, help="take a page's captions and errors out (default: of chat pages)"
    )
    group.add_argument(
        "--in-a-row", choices=["join", "last"], default="join", help="several turns of one role: join, or keep the last"
    )
    group.add_argument("--max-turn-chars", type=int, metavar="N", help="drop an exchange with a longer turn")
    kinds = ["key", "email", "card", "ip", "phone"]
    named = f"put placeholders for personal data: {' '.join(kinds)} (all if none is named)"
    group.add_argument("--scrub", nargs="*", choices=kinds, metavar="KIND", help=named)
    group = parser.add_argument_group("dropping conversations")
    group.add_argument("--keep-languages", nargs="+", default=[], metavar="CODE", help="drop all other languages")
    group.add_argument("--skip-languages", nargs="+", default=[], metavar="CODE", help="drop these languages")
    blocked = "drop what has a blocked phrase: a file of them, or fastchat"
    group.add_argument("--block", nargs="+", default=[], metavar="NAME", help=blocked)
    group.add_argument(
        "--decontaminate", nargs="+", default=[], metavar="FILE", help="evaluation questions to keep out"
    )
    group.add_argument("--sample", type=float, metavar="SHARE", help="keep a share (0 to 1), chosen by id")
    group.add_argument("--seed", type=int, default=0, help="of --sample and --test (default 0)")


def _add_whole(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the whole output")
    group.add_argument("--repeats", action="store_true", help="keep exact repeats of a conversation")
    similar = "drop what is similar from S up (0 to 1) to one before"
    group.add_argument("--near-duplicates", type=float, metavar="S", help=similar)
    group.add_argument(
        "--test", type=float, metavar="SHARE", help="put a share, chosen by id, into OUTPUT's .test file"
    )
    group.add_argument("--identity", metavar="NAME[,MAKER]", help="add conversations in which the model says its name")


def run_convert(args: argparse.Namespace) -> int:
    """Convert; write the ledger beside the output; name what could not be read."""
    from camelid.files.ledger import Ledger
    from camelid.files.paths import beside, find_packaged
    from camelid.files.write import atomic_write, dumps
    from camelid.progress import Progress
    from conversations.cleaning.sampling import is_in_sample
    from conversations.convert import Conversion
    from conversations.identity import identity_conversations

    _check_share("--test", args.test)
    _check_count("--workers", args.workers)
    if not 0 <= args.max_unreadable <= 1:
        raise UserError(f"--max-unreadable must be from 0 to 1, found {args.max_unreadable}")
    output = Path(args.output)
    ledger_path = beside(output, LEDGER)
    test = output.with_suffix(f".test{output.suffix}") if args.test else None
    replaced = _find_replaced([output, *filter(None, [test])], args)
    conversion, tested = Conversion(), 0
    name, _, maker = (args.identity or "").partition(",")
    identity = list(identity_conversations(name, maker.strip())) if args.identity is not None else []
    drawn = conversion.run(
        [find_packaged(path) for path in args.inputs], make_work(args), args.repeats, args.near_duplicates, args.workers
    )
    with (
        atomic_write(output) as train_file,
        _maybe(test) as test_file,
        Progress("convert", None, args.quiet) as progress,
    ):
        for conversation in drawn:
            held_out = test_file is not None and is_in_sample(conversation, args.test, f"test {args.seed}")
            tested += held_out
            (test_file if test_file and held_out else train_file).write(dumps(conversation.to_json()) + "\n")
            progress.update(conversion.conversations.read, f"{conversion.conversations.kept} kept")
        for conversation in identity:
            train_file.write(dumps(conversation.to_json()) + "\n")
    ledgers = [conversion.conversations, conversion.turns]
    if identity:
        ledgers.append(Ledger("identity conversations", kept=len(identity)))
    _report(ledger_path, ledgers, conversion.faults)
    print(f"{output}: {conversion.conversations.kept - tested + len(identity)} conversations")
    if test:
        print(f"{test}: {tested} conversations")
    for path in replaced:
        print(f"camelid: {path} was there before and has been replaced", file=sys.stderr)
    if not conversion.conversations.kept:
        print("camelid: nothing was kept", file=sys.stderr)
        return 1
    read = conversion.conversations
    return judge_unreadable(read.dropped[UNREADABLE], read.read, args.max_unreadable)


def _find_replaced(outputs: list[Path], args: argparse.Namespace) -> list[Path]:
    """The files that will be replaced; never one that is read."""
    from camelid.files.paths import beside, refuse_overwriting

    for path in (*outputs, beside(outputs[0], LEDGER)):
        refuse_overwriting(path, (*args.inputs, *args.decontaminate, *args.block))
    return [path for path in outputs if path.exists()]


def _check_share(name: str, share: float | None) -> None:
    if share is not None and not 0 < share < 1:
        raise UserError(f"{name} must be between 0 and 1, found {share}")


def _check_count(name: str, count: int | None) -> None:
    if count is not None and count < 1:
        raise UserError(f"{name} must be at least 1, found {count}")


def make_work(args: argparse.Namespace) -> "ConversionWork":
    """The work that was asked for; of its steps, what is cheap and drops much comes first."""
    from camelid.text.decontaminate import Decontaminator, KeepOutQuestions
    from camelid.text.language import KeepLanguages
    from camelid.text.pii import KINDS, ScrubPersonalData
    from conversations.batch import CleaningStep, ConversionWork
    from conversations.cleaning.blocked import BlockPhrases, read_phrases
    from conversations.cleaning.clean import Clean
    from conversations.cleaning.sampling import Sample
    from conversations.questions.read import read_question_texts

    _check_share("--sample", args.sample)
    _check_count("--max-turn-chars", args.max_turn_chars)
    steps: list[CleaningStep] = []
    if args.sample is not None:
        steps.append(Sample(args.sample, args.seed))
    if args.block:
        steps.append(BlockPhrases(read_phrases(args.block)))
    if args.keep_languages or args.skip_languages:
        steps.append(KeepLanguages(tuple(args.keep_languages), tuple(args.skip_languages)))
    if args.decontaminate:
        questions = [text for path in args.decontaminate for text in read_question_texts(path)]
        steps.append(KeepOutQuestions(Decontaminator(questions)))
    if args.scrub is not None:
        steps.append(ScrubPersonalData(tuple(kind for kind in KINDS if kind in (args.scrub or KINDS))))
    clean = Clean(args.html, args.captions, args.in_a_row, args.max_turn_chars)
    return ConversionWork(tuple(steps), clean, args.format, args.branches)


@contextmanager
def _maybe(path: Path | None) -> Iterator[IO[str] | None]:
    """`atomic_write`, or nothing for no path."""
    from camelid.files.write import atomic_write

    if path is None:
        yield None
    else:
        with atomic_write(path) as file:
            yield file


def _report(path: Path, ledgers: list["Ledger"], faults: list[str]) -> None:
    from camelid.files.ledger import write_ledgers

    write_ledgers(path, ledgers, faults=faults)
    for ledger in ledgers:
        print(ledger.summary())
    tell_faults(faults, path)
