"""What a finished run leaves: the model or adapter, its card, the summary and the plot of the loss."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

from camelid.files.ledger import Ledger
from camelid.files.write import write_json
from conversations.tokens.template import template_for
from finetune.engine.adapter import save_adapter
from finetune.engine.replicas import require_equal_replicas
from finetune.engine.run_summary import plot_loss, summarise_run, summary_line, write_model_card
from finetune.engine.worker import Worker
from finetune.folders import generation_config, weights
from finetune.folders.card import PLOT
from finetune.folders.fingerprint import BASE
from finetune.folders.generation_config import end_texts_with_turns, find_end_ids, tuned_generation_config
from finetune.folders.score_head import set_safe_padding
from finetune.recipe import Recipe

# By `run.save_dtype`, but for `base`.
SAVE_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


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
    state = full_state(worker)
    if worker.accelerator.is_main_process:
        beside = final.with_name(f".{final.name}.partial")
        shutil.rmtree(beside, ignore_errors=True)
        template = template_for(recipe.data.template, tokenizer) if recipe.data.template else None
        if template is not None:
            tokenizer.chat_template = template.jinja
            end_texts_with_turns(tokenizer, template)
        generation = tuned_generation_config(recipe.model.path, find_end_ids(tokenizer, template))
        dtype = SAVE_DTYPES.get(recipe.run.save_dtype)
        config = worker.unwrapped.config
        if config.num_labels:
            config = replace(config, pad_token_id=set_safe_padding(tokenizer, find_end_ids(tokenizer, template)))
            generation |= {"pad_token_id": config.pad_token_id}
        if recipe.adapter.kind == "none":
            base = weights.dtype_of(recipe.model.path)
            weights.save_model(state, config, beside, dtype=dtype or base, generation=generation)
        else:
            adapter = {name: tensor.to("cpu", dtype) for name, tensor in state.items()}
            save_adapter(worker.accelerator.unwrap_model(worker.model), adapter, beside)
            write_json(beside / generation_config.NAME, generation)
            shutil.copyfile(folder / BASE, beside / BASE)
        tokenizer.save_pretrained(beside)
        summary = summarise_run(folder / "metrics.jsonl", ledgers)
        plot_loss(folder / "metrics.jsonl", folder / "loss.svg", recipe)
        shutil.copy2(folder / PLOT, beside)
        write_model_card(beside, final, recipe, summary)
        shutil.rmtree(final, ignore_errors=True)  # of a run that goes on after its end
        beside.rename(final)
        write_json(folder / "summary.json", summary)
        print(summary_line(summary, final), flush=True)


def full_state(worker: Worker) -> dict[str, Tensor]:
    """The trained weights by name, gathered from the processes, on the main one: all of them, or an adapter's."""
    model = worker.accelerator.unwrap_model(worker.model)
    named = model.named_parameters(remove_duplicate=False)  # weights that two layers share have both names
    trained = {name: weight for name, weight in named if weight.requires_grad}
    if worker.engine is not None:
        return _full_state_of_engine(trained, worker.accelerator.is_main_process)
    if worker.pipeline is not None:
        return worker.pipeline.collect(trained, worker.rank == 0)
    options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
    state: dict[str, Tensor] = get_model_state_dict(worker.model, options=options)  # type: ignore[assignment]
    return {name: state[name] for name in trained} if state else {}  # empty on the others


def _full_state_of_engine(trained: dict[str, nn.Parameter], main: bool) -> dict[str, Tensor]:
    """What DeepSpeed's optimizer steps, in float32 where the model itself is bfloat16: one weight after the other."""
    from deepspeed.utils import safe_get_full_fp32_param

    state = {}
    for name, weight in trained.items():
        whole = safe_get_full_fp32_param(weight)  # collective
        if main:
            state[name] = whole.detach().to("cpu", copy=True)
    return state
