"""What a finished run leaves: the model or adapter, its card, the summary and the plot of the loss."""

import shutil
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

from camelid.files.ledger import Ledger
from camelid.files.write import write_json
from conversations.tokens.template import template_for
from finetune.engine.adapter import save_adapter
from finetune.engine.replicas import require_equal_replicas
from finetune.engine.run_summary import plot_loss, summarise_run, summary_line, write_model_card
from finetune.engine.worker import Worker
from finetune.folders import weights
from finetune.folders.generation_config import end_texts_with_turns, find_end_ids, tuned_generation_config
from finetune.recipe import Recipe


def output_folder(recipe: Recipe) -> Path:
    """Where the tuned model goes, or the adapter."""
    return Path(recipe.run.output) / ("model" if recipe.adapter.kind == "none" else "adapter")


def write_results(worker: Worker, ledgers: list[Ledger], recipe: Recipe, tokenizer: Any, done: int) -> None:
    """Write model or adapter, summary, loss plot and model card; the folder appears whole or not at all.

    Args:
        worker: this process; every one calls it.
        ledgers: what became of the data.
        recipe: of the run.
        tokenizer: goes into the folder, too.
        done: updates of the run.

    Raises:
        UserError: the processes' copies of the weights differ.
    """
    folder, final = Path(recipe.run.output), output_folder(recipe)
    require_equal_replicas(worker, done)
    state = full_state(worker, recipe.adapter.kind != "none")
    if worker.accelerator.is_main_process:
        beside = final.with_name(f".{final.name}.partial")
        shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(final, ignore_errors=True)
        template = template_for(recipe.data.template, tokenizer)
        end_texts_with_turns(tokenizer, template)
        generation = tuned_generation_config(recipe.model.path, find_end_ids(tokenizer, template))
        if recipe.adapter.kind == "none":
            weights.save_model(state, worker.unwrapped.config, beside, generation=generation)
        else:
            save_adapter(worker.accelerator.unwrap_model(worker.model), state, beside)
        tokenizer.save_pretrained(beside)
        summary = summarise_run(folder / "metrics.jsonl", ledgers)
        write_model_card(beside, recipe, summary)
        beside.rename(final)
        plot_loss(folder / "metrics.jsonl", folder / "loss.svg")
        write_json(folder / "summary.json", summary)
        print(summary_line(summary, final), flush=True)


def full_state(worker: Worker, adapter: bool) -> dict[str, Tensor]:
    """All weights by name, gathered from the processes, on the main one; an adapter's alone if `adapter`."""
    if worker.engine is not None:
        gathered: dict[str, Tensor] = worker.accelerator.get_state_dict(worker.model) or {}  # None elsewhere
        return {name: tensor for name, tensor in gathered.items() if not adapter or "lora_" in name}
    options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=adapter)
    state: dict[str, Tensor] = get_model_state_dict(worker.model, options=options)  # type: ignore[assignment]
    return state
