"""`camelid conversations split`."""

import argparse
import sys
from pathlib import Path
from typing import Any

from camelid.errors import UserError
from conversations.tokens.encoder_arguments import add_encoder_arguments, open_encoder


def register_split(verbs: Any) -> None:
    """Add the verb to the `conversations` command."""
    parser = verbs.add_parser("split", help="cut long conversations between exchanges into pieces of N tokens")
    parser.add_argument("inputs", nargs="+", metavar="FILE", help="conversations, in any format `convert` reads")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="the pieces, JSON Lines")
    add_encoder_arguments(parser)
    parser.add_argument("--max-tokens", type=int, required=True, metavar="N", help="tokens of a piece at most")
    parser.add_argument(
        "--overlong",
        choices=["drop", "truncate-answer", "keep-last"],
        help="what becomes of one exchange longer than that: it goes, its answer loses its end, or its question loses "
        "its beginning (default: a piece of its own, still too long)",
    )
    parser.set_defaults(run=run_split)


def run_split(args: argparse.Namespace) -> int:
    """Split; write the ledger beside the output; 1 if nothing is left."""
    from camelid.files.ledger import write_ledgers
    from camelid.files.paths import beside, refuse_overwriting
    from camelid.files.write import write_jsonl
    from conversations.formats.read_inputs import read_inputs
    from conversations.tokens.split import Splitting

    if args.max_tokens < 1:
        raise UserError(f"--max-tokens {args.max_tokens}: must be at least 1 token")
    refuse_overwriting(args.output, args.inputs)
    ledger_path = beside(args.output, ".ledger.json")
    splitting = Splitting(open_encoder(args), args.max_tokens, args.overlong)
    write_jsonl(args.output, (piece.to_json() for piece in splitting.run(read_inputs(args.inputs))))
    ledgers = [splitting.conversations, splitting.exchanges]
    write_ledgers(ledger_path, ledgers, faults=splitting.faults, too_long=splitting.too_long)
    for ledger in ledgers:
        print(ledger.summary())
    if splitting.faults:
        print(f"dropped: {splitting.faults[0]}; all in {ledger_path}", file=sys.stderr)
    if splitting.too_long:
        count, first = len(splitting.too_long), splitting.too_long[0]
        print(
            f"still longer than {args.max_tokens} tokens: {count} pieces, the first {first}; all in {ledger_path}; "
            "--overlong says what is to become of them",
            file=sys.stderr,
        )
    print(f"{args.output}: {splitting.pieces} pieces of {splitting.conversations.kept} conversations")
    return 0 if splitting.pieces else 1
