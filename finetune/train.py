"""The training loop. Runs under `accelerate launch -m finetune.train RECIPE [key=value ...]`.

One update: every process walks its share of the update's sequences in micro-batches, sums token losses,
and divides by the trained tokens of the whole update. That number is known before the first forward
pass, so the loss and its gradient are the same for every micro-batch size and number of processes.
"""

import argparse
import math
import os
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, InitProcessGroupKwargs, set_seed
from torch import nn
from transformers import AutoTokenizer

from camelid.config import load_config
from camelid.errors import UserError
from camelid.jsonl import AppendLog, packaged, read_jsonl, write_json
from camelid.ledger import Ledger
from camelid.lock import exclusive
from camelid.progress import Progress
from conversations.template import get_template
from finetune import checkpoint, run_folder
from finetune.batches import Plan, make_batch, share
from finetune.data import TokenData, load_tokens
from finetune.llama import weights
from finetune.llama.config import LlamaConfig
from finetune.loss import token_loss
from finetune.recipe import Optim, Recipe
from finetune.schedule import learning_rate


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line of one process and train; return the exit status."""
    parser = argparse.ArgumentParser(prog="finetune.train", description="Fine-tune a LLaMA from a recipe.")
    parser.add_argument("recipe", help="YAML file")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="for example optim.lr=1e-5")
    parser.add_argument("--quiet", action="store_true", help="no progress display")
    args = parser.parse_args(arguments)
    try:
        train(load_config(Recipe, packaged(args.recipe), args.overrides), args.quiet)
        return 0
    except UserError as error:
        if os.environ.get("RANK", "0") == "0":  # one line, not one a process
            print(f"camelid: error: {error}", file=sys.stderr)
        return 2


def train(recipe: Recipe, quiet: bool = False) -> None:
    """Run a recipe to its end, from its newest checkpoint if there is one.

    Raises:
        UserError: a file, a template or the launch does not fit the recipe, or the loss is not finite.
    """
    accelerator = start(recipe)
    with exclusive(Path(recipe.run.output) / "lock") if accelerator.is_main_process else nullcontext():
        _train(accelerator, recipe, quiet)


def _train(accelerator: Accelerator, recipe: Recipe, quiet: bool) -> None:
    folder = Path(recipe.run.output)
    with accelerator.main_process_first():
        finished = run_folder.claim(folder, recipe)
    if finished:
        if accelerator.is_main_process:
            print(f"{folder}: this run has already finished; its model is in {folder / 'model'}")
        return
    tokenizer = load_tokenizer(recipe.model.path, recipe.data.template)
    with accelerator.main_process_first():
        data = load_tokens(
            folder / "tokens",
            recipe.data.train,
            recipe.data.template,
            tokenizer,
            recipe.data.max_length,
            recipe.run.seed,
        )
    plan = Plan(
        data,
        recipe.data.max_length,
        recipe.data.packing,
        recipe.optim.global_batch,
        recipe.optim.epochs,
        recipe.optim.updates,
        recipe.run.seed,
    )
    model = weights.load(recipe.model.path, dtype=torch.float32)
    config = model.config
    model.set_recompute(recipe.model.recompute)
    optimizer = make_optimizer(model, recipe.optim)
    model, optimizer = accelerator.prepare(model, optimizer)
    if accelerator.is_main_process:
        run_folder.write_environment(
            folder, accelerator.num_processes, accelerator.distributed_type.value, str(accelerator.device)
        )
        announce(data, plan, config, accelerator.num_processes, quiet)
    run_updates(accelerator, model, optimizer, data, plan, recipe, quiet)
    save_model(accelerator, model, config, tokenizer, folder / "model")
    if accelerator.is_main_process:
        write_json(folder / "summary.json", summarise(folder / "metrics.jsonl", data.ledgers))
    accelerator.wait_for_everyone()
    accelerator.end_training()


def start(recipe: Recipe) -> Accelerator:
    """Start the Accelerator and check that what was launched is what was asked."""
    on_cpu = not torch.accelerator.is_available()
    deepspeed = os.environ.get("ACCELERATE_USE_DEEPSPEED", "false").lower() == "true"  # set by accelerate launch
    accelerator = Accelerator(
        cpu=on_cpu and not deepspeed,  # without it Accelerate starts processes on a CPU that never talk
        mixed_precision="bf16" if recipe.run.precision == "bf16" else "no",
        log_with=list(recipe.run.trackers) or None,
        project_dir=recipe.run.output,
        kwargs_handlers=[InitProcessGroupKwargs(backend="gloo")] if on_cpu and deepspeed else [],
    )
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    asked = launched if recipe.run.processes is None else recipe.run.processes
    alone = accelerator.distributed_type == DistributedType.NO
    actual = 1 if alone else accelerator.num_processes
    if asked != actual:
        raise UserError(
            f"asked for {asked} process(es), but {actual} work(s) together; on CPU start several with: "
            "torchrun --nproc_per_node N -m finetune.train RECIPE"
        )
    if accelerator.distributed_type == DistributedType.DEEPSPEED:
        settings = accelerator.state.deepspeed_plugin.deepspeed_config
        settings["train_micro_batch_size_per_gpu"] = recipe.optim.micro_batch
        settings["gradient_accumulation_steps"] = 1  # accumulation is ours; the engine must not scale again
        settings["gradient_clipping"] = recipe.optim.clip_norm
    set_seed(recipe.run.seed)
    if recipe.run.trackers:
        accelerator.init_trackers("camelid")
    return accelerator


def load_tokenizer(path: str, template: str) -> Any:
    """The model folder's tokenizer, carrying the template it is trained with as its chat template."""
    if not Path(path).is_dir():
        raise UserError(f"model.path = {path!r}: no such folder")
    try:
        tokenizer = AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise UserError(f"model.path = {path!r}: no tokenizer could be loaded ({str(error).splitlines()[0]})") from None
    tokenizer.chat_template = get_template(template).jinja
    return tokenizer


def make_optimizer(model: nn.Module, optim: Optim) -> torch.optim.Optimizer:
    """AdamW; vectors (norms, biases) are not decayed."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(
        [
            {"params": [p for p in trained if p.ndim >= 2], "weight_decay": optim.weight_decay},
            {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
        ],
        lr=optim.lr,
        betas=(optim.beta1, optim.beta2),
        fused=True,
    )


def announce(data: TokenData, plan: Plan, config: LlamaConfig, processes: int, quiet: bool) -> None:
    """Say what is about to be trained on what."""
    if quiet:
        return
    trained = np.count_nonzero(data.weights)
    tokens = data.ids.size
    for ledger in data.ledgers:
        print(ledger.summary())
    print(
        f"{config.num_parameters():,} parameters | {data.documents:,} documents, {tokens:,} tokens, "
        f"{trained / tokens:.0%} trained | {plan.rows_per_epoch:,} sequences a pass | "
        f"{plan.updates:,} updates on {processes} process(es)",
        flush=True,
    )


def run_updates(
    accelerator: Accelerator,
    model: nn.Module,
    optimizer: Any,
    data: TokenData,
    plan: Plan,
    recipe: Recipe,
    quiet: bool,
) -> None:
    """All updates that are still to do, with metrics and checkpoints."""
    folder = Path(recipe.run.output)
    done, tokens = resume(accelerator, folder)
    log = AppendLog(folder / "metrics.jsonl") if accelerator.is_main_process else None
    bar = Progress("train", plan.updates, quiet or log is None, done=done)
    with bar:
        for update in range(done, plan.updates):
            started = time.perf_counter()
            lr = learning_rate(update, plan.updates, recipe.optim.lr, recipe.optim.warmup_ratio, recipe.optim.schedule)
            facts = run_update(accelerator, model, optimizer, data, plan, update, lr, recipe.optim)
            seconds = time.perf_counter() - started
            tokens += facts["tokens"]
            record = {"update": update + 1, "epoch": update // plan.updates_per_epoch, "lr": lr, **facts}
            record |= {"total_tokens": tokens, "seconds": round(seconds, 4)}
            if log:
                log.append(record)
                accelerator.log({"loss": facts["loss"], "lr": lr, "grad_norm": facts["grad_norm"]}, step=update + 1)
            bar.update(update + 1, f"loss {facts['loss']:.3f} | {facts['tokens'] / seconds:,.0f} tok/s")
            if (update + 1) % recipe.run.checkpoint_every == 0 and update + 1 < plan.updates:
                checkpoint.save(
                    folder / "checkpoints",
                    update + 1,
                    tokens,
                    recipe.run.keep_checkpoints,
                    lambda path: accelerator.save_state(str(path), safe_serialization=False),  # tied weights
                    accelerator.is_main_process,
                    accelerator.wait_for_everyone,
                )


def resume(accelerator: Accelerator, folder: Path) -> tuple[int, int]:
    """Load the newest checkpoint; return updates done and tokens seen (0, 0 for a new run)."""
    found = checkpoint.latest(folder / "checkpoints")
    if accelerator.is_main_process:
        checkpoint.remove_partial(folder / "checkpoints")
        run_folder.cut_metrics(folder / "metrics.jsonl", found[0] if found else 0)
    accelerator.wait_for_everyone()
    if not found:
        return 0, 0
    update, path = found
    accelerator.load_state(str(path))
    accelerator.print(f"resumed from {path}")
    return update, checkpoint.tokens_seen(path)


def run_update(
    accelerator: Accelerator,
    model: nn.Module,
    optimizer: Any,
    data: TokenData,
    plan: Plan,
    update: int,
    lr: float,
    optim: Optim,
) -> dict[str, Any]:
    """One optimizer step.

    Returns:
        `loss` (nats per trained token over the whole update), `grad_norm` (before clipping), `tokens` and
        `trained_tokens` (over all processes).
    """
    rows = plan.rows(update)
    documents = np.concatenate(rows)
    weight = data.trained_weight(documents)
    for group in optimizer.param_groups:
        group["lr"] = lr
    micro_batches = share(rows, accelerator.process_index, accelerator.num_processes, optim.micro_batch)
    loss_sum = torch.zeros((), device=accelerator.device)
    for index, micro_rows in enumerate(micro_batches):
        batch = make_batch(data, micro_rows, accelerator.device)
        head = partial(token_loss, positions_N=batch.trained, targets_N=batch.targets, weights_N=batch.weights)
        last = index == len(micro_batches) - 1
        accelerator.sync_gradients = last
        with nullcontext() if last else accelerator.no_sync(model):
            loss = model(batch.input_ids, batch.positions, batch.documents, head=head)
            # Gradients are averaged over processes; multiplying by their number turns that into the sum.
            accelerator.backward(loss * (accelerator.num_processes / weight))
        loss_sum += loss.detach()
    norm = accelerator.clip_grad_norm_(model.parameters(), optim.clip_norm or math.inf)
    optimizer.step()
    optimizer.zero_grad()
    loss_value = float(accelerator.reduce(loss_sum, reduction="sum")) / weight
    if not math.isfinite(loss_value):
        raise UserError(f"update {update + 1}: the loss is {loss_value}; lower optim.lr or look at the data")
    return {
        "loss": loss_value,
        "grad_norm": float(norm),
        "tokens": int(data.lengths[documents].sum()),
        "trained_tokens": data.trained_tokens(documents),
    }


def save_model(accelerator: Accelerator, model: nn.Module, config: LlamaConfig, tokenizer: Any, folder: Path) -> None:
    """Write the tuned model as a Hugging Face folder, whole or not at all."""
    state = accelerator.get_state_dict(model)
    if accelerator.is_main_process:
        beside = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
        weights.save(state, config, beside)
        tokenizer.save_pretrained(beside)
        beside.rename(folder)
    accelerator.wait_for_everyone()


def summarise(metrics: Path, ledgers: list[Ledger]) -> dict[str, Any]:
    """The closing facts of a run, from its metrics alone (so resumes don't change them)."""
    records = [record for _, record in read_jsonl(metrics)]
    seconds = sum(record["seconds"] for record in records)
    return {
        "updates": len(records),
        "loss_first": records[0]["loss"],
        "loss_last": records[-1]["loss"],
        "tokens": records[-1]["total_tokens"],
        "trained_tokens": sum(record["trained_tokens"] for record in records),
        "seconds": round(seconds, 1),
        "tokens_per_second": round(records[-1]["total_tokens"] / seconds, 1),
        "ledgers": [ledger.to_json() for ledger in ledgers],
    }


if __name__ == "__main__":
    sys.exit(main())
