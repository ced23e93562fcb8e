"""`camelid conversations show|audit|stats`: look at data before it is trained on."""

import argparse
import sys
from pathlib import Path
from typing import Any

from camelid.errors import UserError
from camelid.terminal import terminal_of
from conversations.tokens.encoder_arguments import add_encoder_arguments, open_encoder


def register_look(verbs: Any) -> None:
    """Add the verbs to the `conversations` command."""
    parser = verbs.add_parser("show", help="a conversation token by token, or a page of a whole set (--html)")
    parser.add_argument("inputs", nargs="+", metavar="FILE", help="conversations, in any format `convert` reads")
    _add_encoder(parser, required=False)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--id", metavar="ID", help="the conversation with this id")
    which.add_argument("--index", type=int, metavar="N", help="the Nth conversation, from 0 (in a terminal default 0)")
    parser.add_argument(
        "--html",
        type=Path,
        metavar="PAGE",
        help="write a page instead: of that conversation, or without --id and --index of all, to search and filter; "
        "of all also without template and tokenizer",
    )
    parser.set_defaults(run=run_show)

    parser = verbs.add_parser("audit", help="check before a run what data becomes under a template and a tokenizer")
    parser.add_argument("inputs", nargs="+", metavar="FILE", help="conversations, in any format `convert` reads")
    _add_encoder(parser, required=True)
    parser.add_argument("--max-length", type=int, required=True, metavar="TOKENS", help="longest document of the run")
    parser.set_defaults(run=run_audit)

    parser = verbs.add_parser("stats", help="write a page with charts of turns, lengths, roles and scores")
    parser.add_argument("inputs", nargs="+", metavar="FILE", help="conversations, in any format `convert` reads")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--output", type=Path, metavar="FOLDER", help="where the page (index.html) and its charts go")
    where.add_argument("--html", type=Path, metavar="PAGE", help="the page alone, with its charts in it")
    _add_encoder(parser, required=False)
    parser.set_defaults(run=run_stats)


def _add_encoder(parser: argparse.ArgumentParser, required: bool) -> None:
    add_encoder_arguments(parser, required)
    parser.add_argument("--last-turn-only", action="store_true", help="train the last answer alone")


def run_show(args: argparse.Namespace) -> int:
    """Print one conversation, or write it, or all, as a page."""
    whole = args.html and args.id is None and args.index is None
    if bool(args.template) != bool(args.tokenizer):
        raise UserError("--template and --tokenizer go together: both or neither")
    if not whole and not args.template:
        raise UserError("--template and --tokenizer are needed to show tokens; only --html of a whole set does without")
    if not whole and len(args.inputs) > 1:
        raise UserError("one conversation is shown of one FILE; --html without --id and --index takes several")
    return _write_set(args) if whole else _show_one(args)


def _write_set(args: argparse.Namespace) -> int:
    """Write the page of all conversations."""
    from camelid.files.paths import refuse_overwriting
    from camelid.files.write import atomic_write
    from conversations.formats.read_inputs import read_inputs
    from conversations.look.set_page import PageSet

    refuse_overwriting(args.html, args.inputs)
    encoder = open_encoder(args, args.last_turn_only) if args.template else None
    pages = PageSet(encoder, args.last_turn_only)
    pages.add_all((Path(path).name, one) for path in args.inputs for one in read_inputs([path]))
    rendered = f"written by {args.template} for {args.tokenizer}" if encoder else None
    page = pages.to_page(", ".join(Path(path).name for path in args.inputs), rendered)
    with atomic_write(args.html) as file:
        file.write(page)
    print(f"{args.html}: {pages.count:,} conversations, {len(page) / 1e6:.1f} MB")
    return 0


def _show_one(args: argparse.Namespace) -> int:
    """Print one conversation, or write it as a page."""
    from rich.console import Console

    from camelid.files.paths import refuse_overwriting
    from camelid.files.write import atomic_write
    from conversations.formats.read_inputs import read_inputs
    from conversations.look.show import pick_conversation, summary_line, to_html, to_terminal

    if args.html:
        refuse_overwriting(args.html, args.inputs)
    conversation = pick_conversation(read_inputs(args.inputs), args.inputs[0], args.id, args.index or 0)
    encoder = open_encoder(args, args.last_turn_only)
    documents = [encoder.explain(document) for document in encoder.documents(conversation)]
    summary = summary_line([token for tokens in documents for token in tokens])
    summary += f", {len(documents)} documents" if len(documents) > 1 else ""
    if args.html:
        with atomic_write(args.html) as file:
            file.write(to_html(conversation, documents, f"{args.template} · {args.tokenizer} · {summary}"))
        print(f"{args.html}: {summary}")
        return 0
    console = Console(file=terminal_of(sys.stdout), highlight=False, soft_wrap=True)
    for tokens in documents:
        console.print(to_terminal(tokens))
    console.print(f"{conversation.id}: {summary}", markup=False)
    return 0


def run_audit(args: argparse.Namespace) -> int:
    """Print what was found; 1 if a run would be wasted."""
    from conversations.formats.read_inputs import read_inputs
    from conversations.look.audit import audit_conversations, length_histogram

    if args.max_length < 1:
        raise UserError(f"--max-length {args.max_length}: must be at least 1 token")
    found = audit_conversations(read_inputs(args.inputs), open_encoder(args, args.last_turn_only), args.max_length)
    for level, text in found.findings():
        print(f"{level:>4}  {text}")
    if found.lengths:
        print(f"\ntokens of a document ({found.documents:,} documents)")
        print("\n".join(length_histogram(found.lengths, args.max_length)))
    print("\nready to train" if found.passed else "\nnot ready to train: mend what is marked FAIL")
    return 0 if found.passed else 1


def run_stats(args: argparse.Namespace) -> int:
    """Write the page; print its table."""
    from tempfile import TemporaryDirectory

    from camelid.files.paths import refuse_overwriting
    from conversations.formats.read_inputs import read_inputs
    from conversations.look.stats import COLUMNS, count_stats, stats_table, write_page

    if bool(args.template) != bool(args.tokenizer):
        raise UserError("--template and --tokenizer go together: both or neither")
    if args.html:
        refuse_overwriting(args.html, args.inputs)
    found = count_stats(read_inputs(args.inputs), open_encoder(args, args.last_turn_only) if args.template else None)
    page, title = args.html or args.output / "index.html", ", ".join(Path(path).name for path in args.inputs)
    with TemporaryDirectory() as folder:
        write_page(found, args.output or Path(folder), page, title)
    print(f"{'':24}" + "".join(f"{column:>12}" for column in COLUMNS))
    for name, cells in stats_table(found):
        print(f"{name:24}" + "".join(f"{cell:>12}" for cell in cells))
    for reason, count in found.refused.most_common(1):
        print(f"{found.refused.total():,} have no tokens: the template cannot write them ({count:,}: {reason})")
    print(f"{page}: {len(found.turns):,} conversations")
    return 0
