"""Learning from rewards of sampled answers, from a recipe to a model folder."""

import os
import signal
from functools import partial
from math import ceil
from pathlib import Path

from accelerate import Accelerator

from camelid.config import to_tree
from conversations.tokens.open_tokenizer import open_tokenizer
from conversations.tokens.template import template_for
from finetune.engine import run_folder
from finetune.engine.metrics import warn_if_slow
from finetune.engine.results import write_results
from finetune.engine.start import start_run
from finetune.engine.worker import Worker
from finetune.folders.generation_config import find_end_ids
from finetune.layout import Sharding
from finetune.llama.config import LlamaConfig
from finetune.parallel.patience import Patience
from finetune.ppo.collect import AnswerMaker, Collector
from finetune.ppo.curves import write_ppo_curves
from finetune.ppo.evaluate import Evaluator
from finetune.ppo.models import make_models
from finetune.ppo.prompts import PromptSet, load_prompts
from finetune.ppo.rewards import Rewards
from finetune.ppo.run_iterations import PpoRun, run_iterations
from finetune.ppo.sampler import NativeSampler
from finetune.ppo.vllm_sampler import VllmSampler
from finetune.recipe import PpoRecipe


def train_ppo(recipe: PpoRecipe, quiet: bool = False) -> signal.Signals | None:
    """Run a recipe to its end, from its newest checkpoint if there is one.

    Returns:
        The signal that ended it early, with a checkpoint saved; None if it reached its end.

    Raises:
        UserError: a file, a template, a reward or the launch does not fit the recipe, the disk is full, the sampler is
            not the policy, or gradients stay NaN or infinite.
    """
    return start_run(recipe, partial(_train, recipe, quiet))


def _train(
    recipe: PpoRecipe, quiet: bool, accelerator: Accelerator, sharding: Sharding, patience: Patience
) -> signal.Signals | None:
    tokenizer = open_tokenizer(recipe.model.path, f"model.path = {recipe.model.path!r}")
    template = template_for(recipe.data.template, tokenizer)
    context = LlamaConfig.from_folder(recipe.model.path).context
    prompts = load_prompts(recipe.data, tokenizer, recipe.run.seed, context)
    rewards = Rewards(recipe.ppo.rewards, tokenizer)
    gold = None if recipe.ppo.gold is None else Rewards({"gold": recipe.ppo.gold}, tokenizer, "ppo")
    models = make_models(accelerator, sharding, recipe, patience)
    end_ids, sampler = find_end_ids(tokenizer, template), recipe.ppo.sampler
    maker = AnswerMaker(
        models.policy,
        NativeSampler(models.policy, recipe, tokenizer, end_ids)
        if sampler is None
        else VllmSampler(models.policy, recipe, tokenizer, end_ids, prompts.training),
    )
    held_out = Evaluator(models, maker, rewards, gold, prompts.validation, recipe) if prompts.validation else None
    collector = Collector(models, maker, rewards, prompts.training, recipe)
    run = PpoRun(models, collector, held_out, recipe, updates_of(recipe, len(prompts.training)))
    _announce(run, prompts, models.policy, quiet)
    stopped = run_iterations(run, quiet)
    if stopped is None:
        write_results(models.policy, [prompts.ledger], recipe, tokenizer, run.updates)
        if accelerator.is_main_process:
            write_ppo_curves(Path(recipe.run.output))
    patience.wait()
    accelerator.end_training()
    return stopped


def updates_of(recipe: PpoRecipe, prompts: int) -> int:
    """Updates of a run: as many as it says, or those of one pass over the prompts."""
    if recipe.optim.updates is not None:
        return recipe.optim.updates
    iterations = ceil(prompts / (recipe.ppo.batch // recipe.ppo.answers))
    return iterations * (recipe.ppo.batch // recipe.optim.global_batch)


def _announce(run: PpoRun, prompts: PromptSet, worker: Worker, quiet: bool) -> None:
    """Record what the run is made with, say what is about to be trained, and begin the trackers."""
    recipe, accelerator = run.recipe, worker.accelerator
    if accelerator.is_main_process:
        device = str(accelerator.device)
        run_folder.write_environment(Path(recipe.run.output), accelerator.num_processes, worker.sharding, device)
        if not quiet:
            held_out = f" ({len(prompts.validation):,} held out)" if prompts.validation else ""
            print(prompts.ledger.summary())
            print(
                f"{worker.unwrapped.config.num_parameters():,} parameters | {len(prompts.training):,} prompts{held_out}"
                f" | an iteration is {recipe.ppo.batch:,} answers, {recipe.ppo.answers} to each prompt, in "
                f"{run.updates_per_iteration} updates | {run.updates:,} updates on {accelerator.num_processes} "
                f"process(es), sharding {worker.sharding}"
            )
            print(f"to stop with a checkpoint: kill {os.getpid()} (or Ctrl-C)", flush=True)
        warn_if_slow(worker, recipe.run.precision)
    if recipe.run.trackers:
        accelerator.init_trackers("camelid", config=run_folder.flatten_recipe(to_tree(recipe)))
