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
    parser = verbs.add_parser("show", help="print a conversation token by token, trained tokens in colour")
    parser.add_argument("inputs", nargs=1, metavar="FILE", help="conversations, in any format `convert` reads")
    _add_encoder(parser, required=True)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--id", metavar="ID", help="the conversation with this id")
    which.add_argument("--index", type=int, default=0, metavar="N", help="the Nth conversation, from 0 (default: 0)")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page instead")
    parser.set_defaults(run=run_show)

    parser = verbs.add_parser("audit", help="check before a run what data becomes under a template and a tokenizer")
    parser.add_argument("inputs", nargs="+", metavar="FILE", help="conversations, in any format `convert` reads")
    _add_encoder(parser, required=True)
    parser.add_argument("--max-length", type=int, required=True, metavar="TOKENS", help="longest document of the run")
    parser.set_defaults(run=run_audit)

    parser = verbs.add_parser("stats", help="write a page with charts of turns, lengths and roles")
    parser.add_argument("inputs", nargs="+", metavar="FILE", help="conversations, in any format `convert` reads")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="where the page and charts go")
    _add_encoder(parser, required=False)
    parser.set_defaults(run=run_stats)


def _add_encoder(parser: argparse.ArgumentParser, required: bool) -> None:
    add_encoder_arguments(parser, required)
    parser.add_argument("--last-turn-only", action="store_true", help="train the last answer alone")


def run_show(args: argparse.Namespace) -> int:
    """Print one conversation, or write it as a page."""
    from rich.console import Console

    from camelid.files.paths import refuse_overwriting
    from camelid.files.write import atomic_write
    from conversations.formats.read_inputs import read_inputs
    from conversations.look.show import pick_conversation, summary_line, to_html, to_terminal

    if args.html:
        refuse_overwriting(args.html, args.inputs)
    conversation = pick_conversation(read_inputs(args.inputs), args.inputs[0], args.id, args.index)
    tokens = open_encoder(args, args.last_turn_only).explain(conversation)
    if args.html:
        with atomic_write(args.html) as file:
            file.write(to_html(conversation, tokens, args.template, args.tokenizer))
        print(f"{args.html}: {summary_line(tokens)}")
        return 0
    console = Console(file=terminal_of(sys.stdout), highlight=False, soft_wrap=True)
    console.print(to_terminal(tokens))
    console.print(f"{conversation.id}: {summary_line(tokens)}", markup=False)
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
    from conversations.formats.read_inputs import read_inputs
    from conversations.look.stats import COLUMNS, count_stats, stats_table, write_page

    if bool(args.template) != bool(args.tokenizer):
        raise UserError("--template and --tokenizer go together: both or neither")
    found = count_stats(read_inputs(args.inputs), open_encoder(args, args.last_turn_only) if args.template else None)
    page = write_page(found, args.output, ", ".join(Path(path).name for path in args.inputs))
    print(f"{'':24}" + "".join(f"{column:>12}" for column in COLUMNS))
    for name, cells in stats_table(found):
        print(f"{name:24}" + "".join(f"{cell:>12}" for cell in cells))
    for reason, count in found.refused.most_common(1):
        print(f"{found.refused.total():,} have no tokens: the template cannot write them ({count:,}: {reason})")
    print(f"{page}: {len(found.turns):,} conversations")
    return 0
