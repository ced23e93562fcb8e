"""What is checked and said before the first update, whatever is trained."""

import os
import sys
from pathlib import Path

from camelid.config import to_tree
from finetune.data.batches import Plan, warn_of_few_updates
from finetune.engine import run_folder
from finetune.engine.metrics import print_plan, warn_if_slow
from finetune.engine.worker import Worker
from finetune.llama.config import LlamaConfig
from finetune.recipe import PreferenceRecipe, SftRecipe


def config_if_here(folder: str) -> LlamaConfig | None:
    """The shape of the model in a folder; None if there is none, which loading it will say."""
    return LlamaConfig.from_folder(folder) if (Path(folder) / "config.json").is_file() else None


def announce_run(plan: Plan, worker: Worker, recipe: SftRecipe | PreferenceRecipe, quiet: bool) -> None:
    """Record what the run is made with, say what is about to be trained, and begin the trackers."""
    accelerator = worker.accelerator
    if accelerator.is_main_process:
        device = str(accelerator.device)
        run_folder.write_environment(Path(recipe.run.output), accelerator.num_processes, worker.sharding, device)
        if not quiet:
            print_plan(plan, worker)
            print(f"to stop with a checkpoint: kill {os.getpid()} (or Ctrl-C)", flush=True)
            few = warn_of_few_updates(plan.updates, plan.rows_per_epoch, recipe.optim)
            if few:
                print(f"camelid: warning: {few}", file=sys.stderr)
        warn_if_slow(worker, recipe.run.precision)
    if recipe.run.trackers:
        accelerator.init_trackers("camelid", config=run_folder.flatten_recipe(to_tree(recipe)))
