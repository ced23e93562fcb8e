"""Supervised fine-tuning, from a recipe to a model folder."""

import signal
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from camelid.files.write import AppendLog
from conversations.tokens.open_tokenizer import open_tokenizer
from conversations.tokens.template import template_for
from finetune.data.batches import PackedRow, Plan, validation_rows
from finetune.data.token_data import TokenData, load_tokens
from finetune.engine.announce import announce_run
from finetune.engine.evaluate import Validation, sample_answers, validate_by_source
from finetune.engine.make_worker import make_worker
from finetune.engine.results import write_results
from finetune.engine.run_updates import run_updates
from finetune.engine.start import start_run
from finetune.engine.text_scores import TextBytes
from finetune.engine.worker import Worker
from finetune.folders.generation_config import find_end_ids
from finetune.folders.vocabulary import find_untaught, require_rows
from finetune.layout import Sharding
from finetune.objectives.next_token import NextToken
from finetune.parallel.patience import Patience
from finetune.recipe import SftRecipe


def train_sft(recipe: SftRecipe, quiet: bool = False) -> signal.Signals | None:
    """Run a recipe to its end, from its newest checkpoint if there is one.

    Returns:
        The signal that ended it early, with a checkpoint saved; None if it reached its end.

    Raises:
        UserError: a file, a template or the launch does not fit the recipe, the disk is full, or gradients stay
            NaN or infinite.
    """
    return start_run(recipe, partial(_train, recipe, quiet))


def _train(
    recipe: SftRecipe, quiet: bool, accelerator: Accelerator, sharding: Sharding, patience: Patience
) -> signal.Signals | None:
    folder = Path(recipe.run.output)
    tokenizer = open_tokenizer(recipe.model.path, f"model.path = {recipe.model.path!r}")
    with patience.main_first():
        data = load_tokens(folder / "tokens", recipe.data, tokenizer, recipe.run.seed)
    require_rows(data.used, tokenizer, recipe.model.path)
    if accelerator.is_main_process:
        warn_of_untaught(data, recipe, tokenizer)
    plan = Plan(data, recipe.data, recipe.optim, recipe.run.seed)
    worker = make_worker(accelerator, sharding, recipe, patience)
    announce_run(plan, worker, recipe, quiet)
    objective = NextToken(recipe.optim.label_smoothing, recipe.optim.neftune)
    held_out = validation_rows(data, recipe.data.max_length) if data.validation.size else []
    validate = None
    if held_out:
        validate = partial(evaluate, worker, plan, held_out, recipe, tokenizer, TextBytes(tokenizer))
    stopped = run_updates(worker, plan, recipe, objective, validate, quiet)
    if stopped is None:
        write_results(worker, data.ledgers, recipe, tokenizer, plan.updates)
    patience.wait()
    accelerator.end_training()
    return stopped


def warn_of_untaught(data: TokenData, recipe: SftRecipe, tokenizer: Any) -> None:
    """Say so if an adapter alone is to teach tokens that were added: it can't, for it leaves their rows as they are."""
    if recipe.adapter.kind == "none" or recipe.adapter.also:
        return
    found = tokenizer.convert_ids_to_tokens(find_untaught(data.used, recipe.model.path))
    if found:
        what = f"{', '.join(map(repr, found[:3]))}{f' and {len(found) - 3} more' if len(found) > 3 else ''}"
        fix = "add adapter.also=[embed_tokens,lm_head], or the model will not learn to say them"
        print(
            f"camelid: warning: new in the vocabulary, and not to be learned by an adapter: {what}; {fix}",
            file=sys.stderr,
        )


def evaluate(
    worker: Worker,
    plan: Plan,
    held_out: Sequence[PackedRow],
    recipe: SftRecipe,
    tokenizer: Any,
    text: TextBytes,
    done: int,
) -> Validation:
    """The validation loss, of each source too; sample answers go to `samples.jsonl`."""
    found = validate_by_source(worker, plan, held_out, text)
    template = template_for(recipe.data.template, tokenizer) if recipe.data.template else None
    samples = sample_answers(worker, plan.data, tokenizer, find_end_ids(tokenizer, template))
    if samples and worker.accelerator.is_main_process:
        with AppendLog(Path(recipe.run.output) / "samples.jsonl") as log:
            log.append_all({"update": done, **sample} for sample in samples)
    return found
