"""What a run will need, before anything is downloaded or allocated: memory by part, updates, time and money."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from camelid.errors import UserError
from conversations.tokens.open_tokenizer import open_tokenizer
from finetune.data.batches import Plan, warn_of_few_updates
from finetune.data.token_data import load_tokens
from finetune.folders.hub import suggest_download
from finetune.folders.vocabulary import require_rows
from finetune.layout import Layout, check
from finetune.llama.architectures import ARCHITECTURES
from finetune.llama.config import LlamaConfig
from finetune.memory import estimate_host_memory, estimate_memory, saved_on_first
from finetune.parallel.hardware import ACCELERATORS, flops_per_token
from finetune.parameter_counts import count_parameters
from finetune.recipe import ModelSection, Recipe

# Share of the peak that is reckoned with; LLaMA-65B reached 0.47 on A100s (Touvron et al. 2023a, section 2.4).
MFU = 0.4
GB = 1e9


@dataclass(frozen=True)
class TokenCounts:
    """What the data amounts to after splitting and packing.

    Attributes:
        documents, tokens: of the training part.
        trained: share of the tokens with a loss.
        rows: sequences of a pass.
        fill: share of the rows' room that is filled.
        mean_length: tokens of the document a token is in, on average over tokens.
        updates: of the whole run.
        seen: tokens of the whole run.
    """

    documents: int
    tokens: int
    trained: float
    rows: int
    fill: float
    mean_length: float
    updates: int
    seen: float


def get_config(model: ModelSection) -> LlamaConfig:
    """The shape of the model: its folder's, or that of the published model of the folder's name.

    Raises:
        UserError: there is neither.
    """
    if (Path(model.path) / "config.json").is_file():
        return LlamaConfig.from_folder(model.path)
    name = Path(model.path).name
    if name in ARCHITECTURES:
        return ARCHITECTURES[name]
    raise UserError(
        f"model.path = {model.path!r}: no such folder, and no published model of that name; "
        f"known: {', '.join(ARCHITECTURES)}{suggest_download(model.path)}"
    )


def count_tokens(recipe: Recipe) -> TokenCounts | None:
    """Tokenise (into the run's cache) and pack; None if the data or the tokenizer is not here yet."""
    data = recipe.data
    here = all(Path(source.path).exists() for source in data.train)
    if not here or not Path(recipe.model.path).is_dir():
        return None
    tokenizer = open_tokenizer(recipe.model.path, f"model.path = {recipe.model.path!r}")
    tokens = load_tokens(Path(recipe.run.output) / "tokens", data, tokenizer, recipe.run.seed)
    require_rows(tokens.ids, tokenizer, recipe.model.path)
    plan = Plan(tokens, data, recipe.optim, recipe.run.seed)
    lengths = tokens.lengths[tokens.training]
    total = int(lengths.sum())
    return TokenCounts(
        documents=lengths.size,
        tokens=total,
        trained=tokens.trained_tokens(tokens.training) / total,
        rows=plan.rows_per_epoch,
        fill=total / (plan.rows_per_epoch * data.max_length),
        mean_length=float(np.average(lengths, weights=lengths)),
        updates=plan.updates,
        seen=total * plan.updates / plan.updates_per_epoch,
    )


def plan_report(recipe: Recipe, layout: Layout, gpu: str, price: float | None) -> str:
    """The whole plan as text.

    Args:
        recipe: the run.
        layout: how it will be spread over processes.
        gpu: name of one of `ACCELERATORS`.
        price: of an hour of one GPU, USD; None if it is not known.

    Raises:
        UserError: such a run would be refused, or the GPU or the model is not known.
    """
    if gpu not in ACCELERATORS:
        raise UserError(f"--gpu {gpu}: not known; known: {', '.join(ACCELERATORS)}")
    kind, optim, run = ACCELERATORS[gpu], recipe.optim, recipe.run
    config = get_config(recipe.model)
    check(recipe, layout, config)
    processes, sharding = layout.processes, layout.sharding
    ranks = processes // run.tensor_parallel
    parts = estimate_memory(config, recipe.model, optim, recipe.adapter, run, recipe.data.max_length, layout)
    host = estimate_host_memory(config, recipe.adapter, run, parts, layout)
    total = sum(parts.values()) - sum(size for part, size in host.items() if part.startswith("offloaded"))
    trained = count_parameters(config, recipe.adapter).trained
    accumulation = math.ceil(optim.global_batch / ranks / optim.micro_batch)
    lines = [
        f"model        {recipe.model.path}: {config.num_parameters():,} parameters, {trained:,} trained "
        f"({trained / config.num_parameters():.2%})",
        f"layout       {processes} process(es), sharding {sharding}, tensor parallel {run.tensor_parallel}; an update "
        f"is {optim.global_batch} sequences: {ranks} ranks x {accumulation} micro-batches of {optim.micro_batch}",
        f"memory       {_size(total)} a process, in {run.precision}, recompute {recipe.model.recompute}; "
        f"{gpu} has {kind.memory / GB:.0f} GB" + (": DOES NOT FIT" if total > kind.memory else ""),
        *(f"  {part:40}{_size(size, 2):>12}{_place(part, layout)}" for part, size in parts.items()),
        _host_line(config, recipe, host, layout),
        *(f"  {part:40}{_size(size, 2):>12}" for part, size in host.items() if size),
    ]
    tokens = count_tokens(recipe)
    if tokens is None:
        missing = [source.path for source in recipe.data.train if not Path(source.path).exists()]
        lines.append(f"data         not here yet ({', '.join(missing) or recipe.model.path}); a full update is at most")
        seen, share, length = float(optim.global_batch * recipe.data.max_length), 1.0, float(recipe.data.max_length)
    else:
        lines += [
            f"data         {tokens.documents:,} documents, {tokens.tokens:,} tokens, {tokens.trained:.1%} trained",
            f"a pass       {tokens.rows:,} sequences of {recipe.data.max_length}, {tokens.fill:.2%} full",
            f"updates      {tokens.updates:,}, {tokens.seen:,.0f} tokens; all of it takes about",
        ]
        few = warn_of_few_updates(tokens.updates, tokens.rows, optim)
        lines += [f"warning      {few}"] if few else []
        seen, share, length = tokens.seen, tokens.trained, tokens.mean_length
    work = seen * flops_per_token(config, length, share, recipe.adapter.kind != "none")
    hours = work / (kind.flops * MFU * processes) / 3600
    cost = f", {hours * processes * price:,.2f} USD at {price:g} USD an hour each" if price is not None else ""
    lines.append(
        f"time         {_duration(hours)} on {processes} x {gpu} at {MFU:.0%} of {kind.flops / 1e12:.0f} TFLOP/s"
        f" ({hours * processes:,.2f} GPU hours){cost}"
    )
    return "\n".join(lines)


def _duration(hours: float) -> str:
    return (
        f"{hours:,.1f} h" if hours >= 1 else f"{hours * 60:,.1f} min" if hours >= 1 / 60 else f"{hours * 3600:,.1f} s"
    )


def _size(size: float, digits: int = 1) -> str:
    return f"{size / GB:,.{digits}f} GB" if size >= GB else f"{size / 1e6:,.{digits}f} MB"


def _place(part: str, layout: Layout) -> str:
    """Said of what is not on the GPU between uses."""
    offloaded = {"weights": layout.offload_weights}
    offloaded |= dict.fromkeys(("gradients", "optimizer"), layout.offload_optimizer)
    return " in the machine's memory" if offloaded.get(part) else ""


def _host_line(config: LlamaConfig, recipe: Recipe, host: dict[str, float], layout: Layout) -> str:
    each = sum(host.values())
    together = layout.processes // layout.machines
    last = saved_on_first(config, recipe.adapter, recipe.run, layout)
    machine = max(each * together, sum(size for part, size in host.items() if "offloaded" in part) * together + last)
    return (
        f"host memory  {_size(each)} a process beside Python itself, {_size(machine)} a machine of {together}; "
        f"the first puts {_size(last)} together to save"
    )
