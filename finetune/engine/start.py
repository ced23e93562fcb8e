"""Where a run of any kind begins: what was launched is held to the recipe, and the folder is claimed."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from signal import Signals

from accelerate import Accelerator

from camelid.files.lock import exclusive_lock
from finetune.engine.announce import config_if_here
from finetune.engine.freed_memory import keep_freed_memory
from finetune.engine.results import output_folder
from finetune.engine.run_folder import claim_run_folder
from finetune.layout import Sharding, check
from finetune.packages import require_packages
from finetune.parallel import launch
from finetune.parallel.patience import Patience
from finetune.recipe import Recipe


def start_run(recipe: Recipe, train: Callable[[Accelerator, Sharding, Patience], Signals | None]) -> Signals | None:
    """Train, unless the run has finished before.

    Args:
        recipe: of any kind.
        train: does it, from the newest checkpoint if there is one; returns the signal that ended it early.

    Raises:
        UserError: a package is missing, the launch does not fit the recipe, or the folder is another run's.
    """
    require_packages(recipe, launch.uses_deepspeed())
    accelerator, sharding = launch.start(recipe.run, recipe.optim)
    if accelerator.device.type == "cpu":
        keep_freed_memory()
    check(recipe, launch.launched_layout(accelerator, sharding), config_if_here(recipe.model.path))
    folder, patience = Path(recipe.run.output), Patience()
    with exclusive_lock(folder / "lock") if accelerator.is_main_process else nullcontext():
        with patience.main_first():
            finished = claim_run_folder(folder, recipe)
        if not finished:
            return train(accelerator, sharding, patience)
        if accelerator.is_main_process:
            print(f"{folder}: this run has already finished; its model is in {output_folder(recipe)}")
        return None
