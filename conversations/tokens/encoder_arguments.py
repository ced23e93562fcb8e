"""The options that name a template and a tokenizer, shared by the verbs that need to know tokens."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conversations.tokens.tokenize import Encoder


def add_encoder_arguments(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Add `--template`, `--tokenizer` and `--thinking`."""
    parser.add_argument(
        "--template", required=required, metavar="NAME", help="one of `camelid conversations templates`"
    )
    parser.add_argument("--tokenizer", required=required, metavar="MODEL", help="model folder or name on the hub")
    what = "what becomes of what was thought, as data.thinking of a recipe (default drop)"
    parser.add_argument("--thinking", choices=("train", "mask", "drop"), default="drop", help=what)


def open_encoder(args: argparse.Namespace, last_turn_only: bool = False) -> "Encoder":
    """The encoder that the options name.

    Raises:
        UserError: there is no such template or tokenizer, or the two do not go together.
    """
    from conversations.tokens.open_tokenizer import open_tokenizer
    from conversations.tokens.template import TEMPLATES, get_template, template_for
    from conversations.tokens.tokenize import Encoder

    if args.template not in TEMPLATES and args.template != "tokenizer":
        get_template(args.template)  # a typo shows at once, not after the tokenizer has loaded
    tokenizer = open_tokenizer(args.tokenizer, f"--tokenizer {args.tokenizer}")
    return Encoder(template_for(args.template, tokenizer), tokenizer, last_turn_only, args.thinking)
