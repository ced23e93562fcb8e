"""What a run says while it trains: what is about to be trained, a line of metrics and of progress for each update."""

import math
import resource
import sys
from typing import Any

import numpy as np
import torch

from finetune.data.batches import Plan
from finetune.data.token_data import TokenData
from finetune.engine.update import UpdateFacts
from finetune.engine.worker import Worker
from finetune.parallel.devices import cpu_has_bf16
from finetune.parallel.hardware import flops_per_token, peak_flops
from finetune.parallel.launch import Precision


def print_plan(plan: Plan, worker: Worker) -> None:
    """Say what is about to be trained on what."""
    data = plan.data
    trained, tokens = data.trained_tokens(np.arange(data.documents)), data.tokens
    for ledger in data.ledgers:
        print(ledger.summary())
    held_out = f" ({data.validation.size:,} held out)" if data.validation.size else ""
    # Under ZeRO-3 a weight is empty here and knows its size.
    sizes = (getattr(w, "ds_numel", w.numel()) for w in worker.model.parameters() if w.requires_grad)
    total = worker.unwrapped.config.num_parameters()
    weights_trained = sum(sizes) if worker.pipeline is None else total  # this stage has some of them
    print(
        f"{total:,} parameters{f', {weights_trained:,} trained' if weights_trained < total else ''} | "
        f"{data.documents:,} documents{held_out}, {tokens:,} tokens, {trained / tokens:.0%} trained | "
        f"{plan.rows_per_epoch:,} sequences a pass | {plan.updates:,} updates on "
        f"{worker.accelerator.num_processes} process(es), sharding {worker.sharding}",
        flush=True,
    )


def warn_if_slow(worker: Worker, precision: Precision) -> None:
    """Say so if the processor computes in bfloat16 without units for it."""
    if worker.accelerator.device.type == "cpu" and precision != "fp32" and not cpu_has_bf16():
        slow = "this processor has no bfloat16 units; run.precision=fp32 is several times as fast here"
        print(f"camelid: warning: {slow}", file=sys.stderr)


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
