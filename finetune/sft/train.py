"""The loop of supervised fine-tuning.

One update: every process walks its share of the update's sequences in micro-batches, sums token losses,
and divides by the trained tokens of the whole update. That number is known before the first forward
pass, so the loss and its gradient are the same for every micro-batch size and number of processes.
"""

import math
import resource
import shutil
import signal
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

from camelid.config import to_tree
from camelid.errors import UserError
from camelid.files.lock import exclusive_lock
from camelid.files.paths import suggest_path
from camelid.files.write import AppendLog, write_json
from camelid.progress import Progress
from conversations.tokens.open_tokenizer import open_tokenizer
from conversations.tokens.template import template_for
from finetune.data.batches import Plan, validation_rows
from finetune.data.token_data import TokenData, load_tokens
from finetune.engine import checkpoint, run_folder
from finetune.engine import run_summary as closing
from finetune.engine.adapter import add_adapter, save_adapter
from finetune.engine.checkpoint import CheckpointPosition
from finetune.engine.evaluate import sample_answers, validation_loss
from finetune.engine.optimizer import make_optimizer
from finetune.engine.schedule import learning_rate
from finetune.engine.stop import StopSignal
from finetune.engine.update import UpdateFacts, run_update
from finetune.engine.worker import Worker
from finetune.folders import weights
from finetune.objectives.next_token import NextToken
from finetune.parallel import launch
from finetune.parallel.devices import cpu_has_bf16
from finetune.parallel.hardware import flops_per_token, peak_flops
from finetune.parallel.launch import Sharding
from finetune.recipe import SftRecipe


def train_sft(recipe: SftRecipe, quiet: bool = False) -> signal.Signals | None:
    """Run a recipe to its end, from its newest checkpoint if there is one.

    Returns:
        The signal that ended it early, with a checkpoint saved; None if it reached its end.

    Raises:
        UserError: a file, a template or the launch does not fit the recipe, the disk is full, or gradients stay
            NaN or infinite.
    """
    accelerator, sharding = launch.start(recipe.run, recipe.optim)
    with exclusive_lock(Path(recipe.run.output) / "lock") if accelerator.is_main_process else nullcontext():
        return _train(accelerator, sharding, recipe, quiet)


def _train(accelerator: Accelerator, sharding: Sharding, recipe: SftRecipe, quiet: bool) -> signal.Signals | None:
    folder = Path(recipe.run.output)
    with accelerator.main_process_first():
        finished = run_folder.claim_run_folder(folder, recipe)
    if finished:
        if accelerator.is_main_process:
            print(f"{folder}: this run has already finished; its model is in {output_folder(recipe)}")
        return None
    tokenizer = load_tokenizer(recipe.model.path, recipe.data.template)
    with accelerator.main_process_first():
        data = load_tokens(folder / "tokens", recipe.data, tokenizer, recipe.run.seed)
    plan = Plan(data, recipe.data, recipe.optim, recipe.run.seed)
    worker = make_worker(accelerator, sharding, recipe)
    if accelerator.is_main_process:
        run_folder.write_environment(folder, accelerator.num_processes, sharding, str(accelerator.device))
        print_plan(data, plan, worker, quiet)
        if accelerator.device.type == "cpu" and recipe.run.precision != "fp32" and not cpu_has_bf16():
            slow = "this processor has no bfloat16 units; run.precision=fp32 is several times as fast here"
            print(f"camelid: warning: {slow}", file=sys.stderr)
    if recipe.run.trackers:
        accelerator.init_trackers("camelid", config=run_folder.flatten_recipe(to_tree(recipe)))
    stopped = run_updates(worker, data, plan, recipe, tokenizer, quiet)
    if stopped is None:
        write_results(worker, data, recipe, tokenizer)
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return stopped


def load_tokenizer(path: str, template: str) -> Any:
    """The model folder's tokenizer, carrying the template it is trained with as its chat template."""
    if not Path(path).is_dir():
        raise UserError(f"model.path = {path!r}: no such folder{suggest_path(path)}")
    tokenizer = open_tokenizer(path, f"model.path = {path!r}")
    tokenizer.chat_template = template_for(template, tokenizer).jinja
    return tokenizer


def make_worker(accelerator: Accelerator, sharding: Sharding, recipe: SftRecipe) -> Worker:
    """Load the model, add the adapter, spread both over the processes, and make the optimizer."""
    run, optim = recipe.run, recipe.optim
    processes = accelerator.num_processes
    if optim.in_backward and processes > 1:
        raise UserError(
            "optim.in_backward works in one process; use run.sharding=fsdp2 to spread the gradients instead"
        )
    if recipe.adapter.kind == "qlora" and sharding not in ("none", "zero1", "zero2"):
        raise UserError(f"adapter.kind = 'qlora' does not go with sharding {sharding!r}; use lora, or ddp.yaml")
    frozen, pure = recipe.adapter.kind != "none", run.precision == "bf16-pure"
    dtype = torch.bfloat16 if pure or (frozen and run.precision == "bf16") else torch.float32
    device = accelerator.device if sharding == "none" else torch.device("cpu")
    cut_first = sharding == "fsdp2" and not frozen  # then no process ever holds the whole model
    path = recipe.model.path
    unwrapped = (
        weights.load_without_storage(path, dtype)
        if cut_first
        else weights.load_model(path, dtype=dtype, device=str(device))
    )
    unwrapped.set_recompute(recipe.model.recompute)
    model = add_adapter(unwrapped, recipe.adapter, path, run.seed) if frozen else unwrapped
    grid = launch.make_mesh(accelerator, run.tensor_parallel)
    launch.shard(model, unwrapped, grid, sharding, run.precision)
    if cut_first:
        weights.fill_weights(unwrapped, path, str(launch.weights_device(accelerator)))
    optimizer = make_optimizer(model.parameters(), optim, pure)
    if sharding.startswith("zero"):
        model, optimizer = accelerator.prepare(model, optimizer)
    elif sharding == "none":
        # Tensor-parallel processes hold different weights, so DistributedDataParallel must not wrap them.
        model = accelerator.prepare_model(model, evaluation_mode=run.tensor_parallel > 1)
    launch.check_sharding(model, sharding, processes)
    model.train()  # DeepSpeed's engine returns nothing here
    autocast = run.precision == "bf16" and sharding == "none"  # the others are told to compute in bfloat16 themselves
    rank = accelerator.process_index // run.tensor_parallel
    ranks = processes // run.tensor_parallel
    micro_batch, clip_norm = optim.micro_batch, optim.clip_norm
    return Worker(accelerator, model, unwrapped, optimizer, sharding, autocast, rank, ranks, micro_batch, clip_norm)


def print_plan(data: TokenData, plan: Plan, worker: Worker, quiet: bool) -> None:
    """Say what is about to be trained on what."""
    if quiet:
        return
    trained = np.count_nonzero(data.weights)
    tokens = data.ids.size
    for ledger in data.ledgers:
        print(ledger.summary())
    held_out = f" ({data.validation.size:,} held out)" if data.validation.size else ""
    # Under ZeRO-3 a weight is empty here and knows its size.
    sizes = (getattr(w, "ds_numel", w.numel()) for w in worker.model.parameters() if w.requires_grad)
    weights_trained = sum(sizes)
    total = worker.unwrapped.config.num_parameters()
    print(
        f"{total:,} parameters{f', {weights_trained:,} trained' if weights_trained < total else ''} | "
        f"{data.documents:,} documents{held_out}, {tokens:,} tokens, {trained / tokens:.0%} trained | "
        f"{plan.rows_per_epoch:,} sequences a pass | {plan.updates:,} updates on "
        f"{worker.accelerator.num_processes} process(es), sharding {worker.sharding}",
        flush=True,
    )


def run_updates(
    worker: Worker, data: TokenData, plan: Plan, recipe: SftRecipe, tokenizer: Any, quiet: bool
) -> signal.Signals | None:
    """All updates that are still to do, with metrics, evaluations and checkpoints; return a signal that ended them."""
    run, optim, folder = recipe.run, recipe.optim, Path(recipe.run.output)
    alone = worker.accelerator.num_processes == 1
    objective = NextToken(optim.label_smoothing, optim.neftune)
    held_out = validation_rows(data, recipe.data.max_length) if data.validation.size else []
    done, tokens, skipped = resume(worker, folder)
    saver = checkpoint.CheckpointSaver(worker, folder / "checkpoints", run.keep_checkpoints)
    saved, saved_at = done, time.monotonic()
    log = AppendLog(folder / "metrics.jsonl") if worker.accelerator.is_main_process else None
    with StopSignal() as stop, Progress("train", plan.updates, quiet or log is None, done=done) as bar:
        for update in range(done, plan.updates):
            started = time.perf_counter()
            lr = learning_rate(update, plan.updates, optim.lr, optim.warmup_ratio, optim.schedule)
            facts = run_update(
                worker,
                plan,
                update,
                lr,
                objective,
                lambda: alone and stop.wanted,  # several processes agree after the update
                saver.wait,
            )
            if facts is None:  # a signal came in the middle of it: the weights are those after `done` updates
                break
            seconds = time.perf_counter() - started
            done, tokens = update + 1, tokens + facts.tokens
            skipped = skipped + 1 if facts.skipped else 0
            validation = None
            if held_out and (done % run.evaluate_every == 0 or done == plan.updates):
                validation = evaluate(worker, plan, held_out, recipe, tokenizer, done)
            # Metrics are written before the checkpoint of the same update. A kill between the two leaves lines that no
            # checkpoint knows of, which `resume` cuts off; the other way round it would lose them.
            if log:
                record = {"update": done, "epoch": update // plan.updates_per_epoch, "lr": lr}
                record |= update_metrics(worker, data, facts, seconds, validation, recipe.adapter.kind != "none")
                log.append(record | {"total_tokens": tokens})
                worker.accelerator.log({k: v for k, v in record.items() if isinstance(v, int | float)}, step=done)
                bar.update(done, progress_line(record))
            if skipped > optim.max_skipped:
                raise UserError(
                    f"update {done}: {skipped} updates in a row had a NaN or infinite gradient (optim.max_skipped = "
                    f"{optim.max_skipped}); lower optim.lr or look at the data"
                )
            # Clocks differ, and a signal may reach one process only. Saving is collective, so all must decide alike:
            # what any process wants, every process does. `worker.any` is called in every update, wanted or not, for it
            # is collective itself.
            overdue = run.checkpoint_minutes is not None and time.monotonic() - saved_at > 60 * run.checkpoint_minutes
            overdue, stopping = worker.any(overdue, stop.wanted)
            due = overdue or done % run.checkpoint_every == 0 or validation is not None
            # An update that was validated is saved: it may be the best one. After the last update the model itself is
            # written, so there is nothing to save.
            if done < plan.updates and (due or stopping):
                saver.save(checkpoint_position(worker, done, tokens, skipped, validation))
                saved, saved_at = done, time.monotonic()
            if stopping:
                break
        # Here after a dropped update, in a single process: what was done since the last checkpoint is not lost.
        if done < plan.updates and done > saved:
            saver.save(checkpoint_position(worker, done, tokens, skipped, None))
        saver.wait()
    if done == plan.updates:
        return None
    if log:
        print(f"stopped after update {done} of {plan.updates}; the same command resumes there", file=sys.stderr)
    return stop.signal or signal.SIGTERM  # another process received it


def checkpoint_position(
    worker: Worker, done: int, tokens: int, skipped: int, validation: float | None
) -> CheckpointPosition:
    """The position of a checkpoint made now."""
    processes = worker.accelerator.num_processes
    shape = to_tree(worker.unwrapped.config)
    return CheckpointPosition(done, tokens, skipped, validation, processes, worker.sharding, shape)


def resume(worker: Worker, folder: Path) -> tuple[int, int, int]:
    """Load the newest checkpoint; return updates done, tokens seen and updates skipped just before (0s if none)."""
    found = checkpoint.latest_checkpoint(folder / "checkpoints")
    worker.accelerator.wait_for_everyone()
    if worker.accelerator.is_main_process:
        checkpoint.remove_partial(folder / "checkpoints")
        for name in ("metrics.jsonl", "samples.jsonl"):
            run_folder.cut_metrics(folder / name, checkpoint.read_position(found).update if found else 0)
    worker.accelerator.wait_for_everyone()
    if not found:
        return 0, 0, 0
    position = checkpoint.load_checkpoint(worker, found, worker.unwrapped.config)
    worker.accelerator.print(f"resumed from {found}")
    return position.update, position.tokens, position.skipped


def evaluate(worker: Worker, plan: Plan, held_out: list[Any], recipe: SftRecipe, tokenizer: Any, done: int) -> float:
    """The validation loss; sample answers go to `samples.jsonl`."""
    loss = validation_loss(worker, plan, held_out, NextToken())  # without smoothing or noise
    stops = tokenizer.convert_tokens_to_ids(list(template_for(recipe.data.template, tokenizer).stop))
    samples = sample_answers(worker, plan.data, tokenizer, [tokenizer.eos_token_id, *stops])
    if samples and worker.accelerator.is_main_process:
        with AppendLog(Path(recipe.run.output) / "samples.jsonl") as log:
            log.append_all({"update": done, **sample} for sample in samples)
    return loss


def update_metrics(
    worker: Worker, data: TokenData, facts: UpdateFacts, seconds: float, validation: float | None, adapter: bool
) -> dict[str, Any]:
    """One line of `metrics.jsonl`, but for what the loop knows."""
    device = worker.accelerator.device
    if device.type == "cuda":
        memory = torch.cuda.max_memory_allocated(device)
        peak = peak_flops(torch.cuda.get_device_name(device))
    else:
        memory, peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, None
    mfu = None
    if peak is not None:
        mean_length = float(np.average(data.lengths, weights=data.lengths))
        share = facts.trained_tokens / facts.tokens
        done = facts.tokens * flops_per_token(worker.unwrapped.config, mean_length, share, adapter)
        mfu = round(done / seconds / peak / worker.accelerator.num_processes, 4)
    return {
        "loss": finite_or_none(facts.loss),
        "grad_norm": finite_or_none(facts.grad_norm),
        "skipped": facts.skipped,
        "validation_loss": validation,
        "tokens": facts.tokens,
        "trained_tokens": facts.trained_tokens,
        "seconds": round(seconds, 4),
        "tokens_per_second": round(facts.tokens / seconds, 1),
        "trained_tokens_per_second": round(facts.trained_tokens / seconds, 1),
        "memory_gb": round(memory / 1e9, 3),
        "mfu": mfu,
        **{name: finite_or_none(value) for name, value in facts.objective_facts.items()},
    }


def finite_or_none(value: float) -> float | None:
    """JSON has no NaN."""
    return value if math.isfinite(value) else None


def progress_line(record: dict[str, Any]) -> str:
    """What the progress bar says of an update."""
    loss = f"loss {record['loss']:.3f}" if record["loss"] is not None else "loss not finite, skipped"
    rates = f"{record['tokens_per_second']:,.0f} tok/s ({record['trained_tokens_per_second']:,.0f} trained)"
    mfu = f" | MFU {record['mfu']:.0%}" if record["mfu"] is not None else ""
    return f"{loss} | {rates} | {record['memory_gb']:.1f} GB{mfu}"


def output_folder(recipe: SftRecipe) -> Path:
    """Where the tuned model goes, or the adapter."""
    return Path(recipe.run.output) / ("model" if recipe.adapter.kind == "none" else "adapter")


def write_results(worker: Worker, data: TokenData, recipe: SftRecipe, tokenizer: Any) -> None:
    """Write model or adapter, summary, loss plot and model card; the folder appears whole or not at all."""
    folder, final = Path(recipe.run.output), output_folder(recipe)
    state = full_state(worker, recipe.adapter.kind != "none")
    if worker.accelerator.is_main_process:
        beside = final.with_name(f".{final.name}.partial")
        shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(final, ignore_errors=True)
        if recipe.adapter.kind == "none":
            weights.save_model(state, worker.unwrapped.config, beside)
        else:
            save_adapter(worker.accelerator.unwrap_model(worker.model), state, beside)
        tokenizer.save_pretrained(beside)
        summary = closing.summarise_run(folder / "metrics.jsonl", data.ledgers)
        closing.write_model_card(beside, recipe, summary)
        beside.rename(final)
        closing.plot_loss(folder / "metrics.jsonl", folder / "loss.svg")
        write_json(folder / "summary.json", summary)
        print(closing.summary_line(summary, final), flush=True)


def full_state(worker: Worker, adapter: bool) -> dict[str, Tensor]:
    """All weights by name, gathered from the processes, on the main one; an adapter's alone if `adapter`."""
    if worker.engine is not None:
        gathered: dict[str, Tensor] = worker.accelerator.get_state_dict(worker.model) or {}  # None elsewhere
        return {name: tensor for name, tensor in gathered.items() if not adapter or "lora_" in name}
    options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=adapter)
    state: dict[str, Tensor] = get_model_state_dict(worker.model, options=options)  # type: ignore[assignment]
    return state
