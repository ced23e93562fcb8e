"""Training on preferences, from a recipe to a model folder."""

import signal
from functools import partial
from pathlib import Path

from accelerate import Accelerator

from conversations.tokens.open_tokenizer import open_tokenizer
from conversations.tokens.template import template_for
from finetune.data.batches import Plan
from finetune.data.preference_data import load_preferences, unit_of
from finetune.engine.announce import announce_run
from finetune.engine.make_worker import make_worker
from finetune.engine.results import write_results
from finetune.engine.run_updates import run_updates
from finetune.engine.start import start_run
from finetune.folders.generation_config import find_end_ids
from finetune.folders.vocabulary import require_rows
from finetune.layout import Sharding
from finetune.parallel.patience import Patience
from finetune.preference.curves import write_curves
from finetune.preference.evaluate import evaluate
from finetune.preference.objective_of import objective_of, policy_loss
from finetune.preference.reference import reference_log_probs
from finetune.recipe import PreferenceRecipe


def train_preference(recipe: PreferenceRecipe, quiet: bool = False) -> signal.Signals | None:
    """Run a recipe to its end, from its newest checkpoint if there is one.

    Returns:
        The signal that ended it early, with a checkpoint saved; None if it reached its end.

    Raises:
        UserError: a file, a template or the launch does not fit the recipe, the disk is full, or gradients stay
            NaN or infinite.
    """
    return start_run(recipe, partial(_train, recipe, quiet))


def _train(
    recipe: PreferenceRecipe, quiet: bool, accelerator: Accelerator, sharding: Sharding, patience: Patience
) -> signal.Signals | None:
    folder = Path(recipe.run.output)
    tokenizer = open_tokenizer(recipe.model.path, f"model.path = {recipe.model.path!r}")
    with patience.main_first():
        data = load_preferences(folder / "tokens", recipe.data, tokenizer, recipe.run.seed, unit_of(recipe))
    require_rows(data.tokens.used, tokenizer, recipe.model.path)
    plan = Plan(data.tokens, recipe.data, recipe.optim, recipe.run.seed)
    worker = make_worker(accelerator, sharding, recipe, patience)
    announce_run(plan, worker, recipe, quiet)
    reference = None
    if recipe.kind != "reward" and policy_loss(recipe).wants_reference:
        reference = reference_log_probs(worker, data, recipe, quiet)
    make = partial(objective_of, recipe, data, reference)
    ends = None
    if recipe.kind != "reward":  # which says nothing
        ends = find_end_ids(tokenizer, template_for(recipe.data.template, tokenizer))
    held_out = data.tokens.validation.size > 0
    validate = partial(evaluate, worker, plan, make, tokenizer, ends, folder) if held_out else None
    stopped = run_updates(worker, plan, recipe, make(), validate, quiet)
    if stopped is None:
        write_results(worker, data.tokens.ledgers, recipe, tokenizer, plan.updates)
        if accelerator.is_main_process:
            write_curves(folder)
    patience.wait()
    accelerator.end_training()
    return stopped
