"""One process of a run of any kind, under `accelerate launch -m finetune.train RECIPE [key=value ...]`."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from signal import Signals
from typing import Any

from camelid.errors import UserError
from camelid.files.paths import find_packaged
from camelid.files.system_errors import mendable_line
from camelid.files.write import write_json
from camelid.terminal import clean_terminals
from finetune.ppo.train import train_ppo
from finetune.preference.train import train_preference
from finetune.recipe import read_recipe
from finetune.sft.train import train_sft

# Who trains each kind of recipe; called with the recipe and whether to be quiet, returns a signal that ended it early.
TRAINERS: dict[str, Callable[[Any, bool], Signals | None]] = {
    "sft": train_sft,
    **dict.fromkeys(("reward", "dpo", "kto", "orpo", "simpo"), train_preference),
    "ppo": train_ppo,
}


@clean_terminals()
def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line of one process and train; return the exit status."""
    parser = argparse.ArgumentParser(prog="finetune.train", description="Fine-tune a LLaMA from a recipe.")
    parser.add_argument("recipe", help="YAML file")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="for example optim.lr=1e-5")
    parser.add_argument("--quiet", action="store_true", help="no progress display")
    args = parser.parse_intermixed_args(arguments)  # overrides may stand behind --quiet
    try:
        recipe = read_recipe(find_packaged(args.recipe), args.overrides)
        stopped = TRAINERS[recipe.kind](recipe, args.quiet)
    except UserError as error:
        line = f"camelid: error: {error}"
        if os.environ.get("RANK", "0") == "0":  # one line, not one a process
            print(line, file=sys.stderr)
        _tell_launcher(line)
        return 2
    except OSError as error:
        mendable = mendable_line(error)
        if mendable is None:
            raise
        print(f"camelid: error: {mendable}", file=sys.stderr)  # of any process: a disk may be full on one machine alone
        return 2
    return 0 if stopped is None else 128 + stopped  # as a shell reports a command that a signal ended


def _tell_launcher(line: str) -> None:
    """Leave the error where torchrun looks for it: its summary, printed last, then repeats it.

    The file's name and form are torch's (`torch.distributed.elastic.multiprocessing.errors.ProcessFailure`).
    """
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if path:
        write_json(path, {"message": {"message": line, "extraInfo": {"timestamp": int(time.time())}}})


if __name__ == "__main__":
    sys.exit(main())
