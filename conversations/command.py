"""`camelid conversations convert|split|show|audit|stats`."""

import argparse
import sys
from pathlib import Path
from typing import Any

from conversations.looking import register_looking
from conversations.split_command import register_split

SHOWN_FAULTS = 5  # unreadable records named on the terminal; the ledger file has all


def register(rooms: Any) -> None:
    """Add the `conversations` commands."""
    room = rooms.add_parser("conversations", help="turn exported chats into clean training data")
    verbs = room.add_subparsers(metavar="VERB", required=True)
    parser = verbs.add_parser("convert", help="read chats in any known format, clean them, write conversations")
    parser.add_argument("inputs", nargs="+", metavar="FILE", help="ShareGPT, Alpaca, OpenAI or conversation files")
    parser.add_argument("--output", required=True, metavar="FILE", help="the conversations, JSON Lines")
    parser.add_argument(
        "--decontaminate", nargs="+", default=[], metavar="FILE", help="evaluation questions to keep out"
    )
    parser.set_defaults(run=convert)
    register_split(verbs)
    register_looking(verbs)


def convert(args: argparse.Namespace) -> int:
    """Convert; write the ledger beside the output; name what could not be read."""
    from camelid.jsonl import packaged, write_jsonl
    from camelid.ledger import write_ledgers
    from conversations.convert import Conversion
    from conversations.decontaminate import read_question_texts

    output = Path(args.output)
    questions = [text for path in args.decontaminate for text in read_question_texts(path)]
    conversion = Conversion()
    inputs = [packaged(path) for path in args.inputs]
    write_jsonl(output, (conversation.to_json() for conversation in conversion.run(inputs, questions)))
    ledgers = [conversion.conversations, conversion.turns]
    write_ledgers(output.with_suffix(".ledger.json"), ledgers, faults=conversion.faults)
    for ledger in ledgers:
        print(ledger.summary())
    for fault in conversion.faults[:SHOWN_FAULTS]:
        print(f"dropped: {fault}", file=sys.stderr)
    if len(conversion.faults) > SHOWN_FAULTS:
        rest = len(conversion.faults) - SHOWN_FAULTS
        print(f"and {rest} more, all named in {output.with_suffix('.ledger.json')}", file=sys.stderr)
    print(f"{output}: {conversion.conversations.kept} conversations")
    return 0
