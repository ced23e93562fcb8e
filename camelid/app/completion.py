"""`camelid completion SHELL`: the script with which a shell completes commands, options, choices and paths."""

import argparse
from typing import Any

from camelid.app.command_line import CommandParser, leaves


def register(rooms: Any, parser: CommandParser) -> None:
    """Add the `completion` command, for all commands of `parser`."""
    command = rooms.add_parser(
        "completion",
        help="print a script that completes commands in your shell",
        epilog="bash: camelid completion bash > "
        "~/.local/share/bash-completion/completions/camelid. zsh: the same to a file _camelid in a folder of $fpath. "
        "fish: to ~/.config/fish/completions/camelid.fish.",
    )
    command.add_argument("shell", choices=("bash", "zsh", "fish"))
    command.set_defaults(run=lambda args: run(args, parser))


def run(args: argparse.Namespace, parser: CommandParser) -> int:
    """Print the script."""
    import shtab

    for leaf, _ in leaves(parser):
        for action in leaf._actions:
            if action.nargs != 0 and not action.choices and action.type is None:  # text: a path, or may be one
                folder = action.metavar in ("DIR", "FOLDER", "PEFT")
                action.complete = shtab.DIRECTORY if folder else shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(parser, args.shell))
    return 0
