"""The front door: `camelid <room> <verb>`.

Every room registers its verbs in `<room>/command.py`; those modules import nothing heavy at the top, so
`camelid --help` answers in well under a second.
"""

import sys
from collections.abc import Sequence

from camelid import __version__
from camelid.app import completion, demo, doctor
from camelid.app.command_line import CommandParser, leaves
from camelid.app.open_model import add_model_arguments, open_model
from camelid.app.open_scorers import MODEL_OPENERS
from camelid.app.rate_votes import rate_votes
from camelid.app.shipped import suggest_shipped
from camelid.errors import UserError
from camelid.files.system_errors import mendable_line
from camelid.terminal import clean_terminals
from conversations import command as conversations_command
from corpus import command as corpus_command
from eval import command as eval_command
from finetune import command as finetune_command
from finetune import fill_command, text_command
from finetune.context import retrieval_command
from finetune.folders import command as weights_command
from finetune.folders import tokenizer_command
from finetune.preference import command as preference_command
from finetune.serve import command as serve_command
from selfinstruct import command as selfinstruct_command


def build_parser() -> CommandParser:
    """The whole command line as one parser; each leaf sets `run`, a function from arguments to exit status."""
    parser = CommandParser(
        prog="camelid",
        description="Instruction tuning, from seed tasks to a judged report.",
        epilog="`camelid doctor` says whether this machine is ready; `camelid completion --help` how to complete "
        "these commands with the Tab key.",
    )
    parser.add_argument("--version", action="version", version=f"camelid {__version__}")
    rooms = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    demo.register(rooms)
    selfinstruct_command.register(rooms, open_model, add_model_arguments)
    conversations_command.register(rooms, open_model, add_model_arguments, MODEL_OPENERS)
    tokenizer_command.register(rooms)
    corpus_command.register(rooms)
    weights_command.register(rooms)
    finetune_command.register(rooms)
    text_command.register(rooms)
    retrieval_command.register(rooms)
    fill_command.register(rooms)
    preference_command.register(rooms)
    eval_command.register(rooms, open_model, add_model_arguments)
    serve_command.register(rooms, rate_votes)
    doctor.register(rooms)
    completion.register(rooms, parser)
    for leaf, _ in leaves(parser):
        leaf.set_defaults(leaf=leaf)
    return parser


@clean_terminals()
def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status (2 for a mistake the user can mend)."""
    parser = build_parser()
    args, more = parser.parse_known_args(arguments)
    if more and hasattr(args, "overrides") and not any(item.startswith("-") for item in more):
        args.overrides += more  # argparse gives up on a list of positionals that goes on behind an option
    elif more:
        args.leaf.refuse(more)
    try:
        status: int = args.run(args)
        return status
    except UserError as error:
        print(f"camelid: error: {error}{suggest_shipped(error)}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        return 141
    except OSError as error:
        line = mendable_line(error)
        if line is None:
            raise
        print(f"camelid: error: {line}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("camelid: interrupted; the same command resumes", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
