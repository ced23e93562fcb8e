"""What a run will need, before anything is downloaded or allocated: memory by part, updates, time and money."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from camelid.errors import UserError
from conversations.tokens.open_tokenizer import open_tokenizer
from finetune.communication import Traffic, update_seconds, update_traffic
from finetune.data.batches import Plan, warn_of_few_updates
from finetune.data.preference_data import load_preferences, unit_of
from finetune.data.token_data import load_tokens
from finetune.folders.hub import suggest_download
from finetune.folders.score_head import with_score
from finetune.folders.vocabulary import require_rows
from finetune.layout import Layout, check, compiles
from finetune.llama.architectures import ARCHITECTURES
from finetune.llama.config import LlamaConfig
from finetune.memory import estimate_host_memory, estimate_memory, estimate_stage_memory, saved_on_first
from finetune.parallel.hardware import ACCELERATORS, GpuModel, flops_per_token
from finetune.parameter_counts import count_parameters
from finetune.recipe import ModelSection, PreferenceRecipe, Recipe, SftRecipe, context_parts, pipeline_stages

# Share of the peak that is reckoned with; LLaMA-65B reached 0.47 on A100s (Touvron et al. 2023a, section 2.4).
MFU = 0.4
GB = 1e9
REFERENCED = ("dpo", "kto")  # kinds of recipes that hold the policy to a reference


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


def count_tokens(recipe: SftRecipe | PreferenceRecipe) -> TokenCounts | None:
    """Tokenise (into the run's cache) and pack; None if the data or the tokenizer is not here yet."""
    data = recipe.data
    here = all(Path(source.path).exists() for source in data.train)
    if not here or not Path(recipe.model.path).is_dir():
        return None
    tokenizer = open_tokenizer(recipe.model.path, f"model.path = {recipe.model.path!r}")
    cache, seed = Path(recipe.run.output) / "tokens", recipe.run.seed
    if recipe.kind == "sft":
        tokens = load_tokens(cache, recipe.data, tokenizer, seed)
    else:
        tokens = load_preferences(cache, recipe.data, tokenizer, seed, unit_of(recipe)).tokens
    require_rows(tokens.used, tokenizer, recipe.model.path)
    plan = Plan(tokens, data, recipe.optim, seed)
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


def plan_report(recipe: SftRecipe | PreferenceRecipe, layout: Layout, gpu: str, price: float | None) -> str:
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
    kind, optim, stages = ACCELERATORS[gpu], recipe.optim, pipeline_stages(recipe.run)
    context = context_parts(recipe.run)
    config = get_config(recipe.model)
    config = with_score(config) if recipe.kind == "reward" else config
    check(recipe, layout, config)
    processes = layout.processes
    ranks = processes // recipe.run.tensor_parallel // stages // context
    trained = count_parameters(config, recipe.adapter).trained
    accumulation = math.ceil(optim.global_batch / ranks / optim.micro_batch)
    lines = [
        f"model        {recipe.model.path}: {config.num_parameters():,} parameters, {trained:,} trained "
        f"({trained / config.num_parameters():.2%})",
        f"layout       {processes} process(es), sharding {layout.sharding}, tensor parallel "
        f"{recipe.run.tensor_parallel}{f', {stages} stages' if stages > 1 else ''}"
        f"{f', documents over {context}' if context > 1 else ''}; an update "
        f"is {optim.global_batch} {_unit(recipe)}: {ranks} ranks x {accumulation} micro-batches of {optim.micro_batch}",
        *_memory_lines(config, recipe, layout, gpu, accumulation),
    ]
    tokens = count_tokens(recipe)
    lines += _data_lines(recipe, tokens)
    if tokens is None:  # of one update
        seen, share, length = float(optim.global_batch * recipe.data.max_length), 1.0, float(recipe.data.max_length)
        updates = 1.0
    else:
        seen, share, length, updates = tokens.seen, tokens.trained, tokens.mean_length, float(tokens.updates)
    work = seen * flops_per_token(config, length, share, recipe.adapter.kind != "none")
    computing = work / updates / (kind.flops * MFU * processes) * (1 + (stages - 1) / accumulation)
    traffic = update_traffic(config, recipe, layout, accumulation, seen / updates / ranks / accumulation)
    hours = updates * update_seconds(traffic, computing, kind) / 3600
    lines += _message_lines(traffic, computing, kind)
    if recipe.kind in REFERENCED:
        whole = tokens.tokens if tokens else seen
        reference = whole * flops_per_token(config, length, share, adapter=False) / 3  # a forward pass over all of it
        hours += reference / (kind.flops * MFU * processes) / 3600
        lines.append(
            "reference    no second model: log-probabilities by the model that training starts from, found once and "
            "kept (8 bytes an answer)"
        )
    cost = f", {hours * processes * price:,.2f} USD at {price:g} USD an hour each" if price is not None else ""
    lines.append(
        f"time         {duration_text(hours)} on {processes} x {gpu} at {MFU:.0%} of {kind.flops / 1e12:.0f} TFLOP/s, "
        f"{seen / hours / 3600 / processes:,.0f} tokens/s each ({hours * processes:,.2f} GPU hours){cost}"
    )
    return "\n".join(lines)


def _unit(recipe: SftRecipe | PreferenceRecipe) -> str:
    """What a batch is counted in."""
    return "sequences" if recipe.kind == "sft" else unit_of(recipe)


def _data_lines(recipe: SftRecipe | PreferenceRecipe, tokens: TokenCounts | None) -> list[str]:
    """What the data amounts to, and what the time that is said below is of."""
    if tokens is None:
        missing = [source.path for source in recipe.data.train if not Path(source.path).exists()]
        return [f"data         not here yet ({', '.join(missing) or recipe.model.path}); a full update is at most"]
    few = warn_of_few_updates(tokens.updates, tokens.rows, recipe.optim)
    return [
        f"data         {tokens.documents:,} documents, {tokens.tokens:,} tokens, {tokens.trained:.1%} trained",
        f"a pass       {tokens.rows:,} sequences of {recipe.data.max_length}, {tokens.fill:.2%} full",
        f"updates      {tokens.updates:,}, {tokens.seen:,.0f} tokens; all of it takes about",
        *([f"warning      {few}"] if few else []),
    ]


def _memory_lines(config: LlamaConfig, recipe: Recipe, layout: Layout, gpu: str, micro_batches: int) -> list[str]:
    """What a process holds, of the fullest stage where there are several, and its machine."""
    run, stages = recipe.run, pipeline_stages(recipe.run)
    size, told = ACCELERATORS[gpu].memory, ""
    if stages == 1:
        capacity = recipe.data.max_length
        compiled = compiles(recipe, layout.sharding, layout.device or "cuda")
        parts = estimate_memory(config, recipe.model, recipe.optim, recipe.adapter, run, capacity, layout, compiled)
    else:
        each = [estimate_stage_memory(config, recipe, layout, stage, micro_batches) for stage in range(stages)]
        parts = max(each, key=lambda stage: sum(stage.values()))
        told = f" of stage {each.index(parts) + 1}, the fullest"
    host = estimate_host_memory(config, recipe.adapter, run, parts, layout)
    total = sum(parts.values()) - sum(size for part, size in host.items() if part.startswith("offloaded"))
    lines = [
        f"memory       {size_text(total)} a process{told}, in {run.precision}, recompute {recipe.model.recompute}; "
        f"{gpu} has {size / GB:.0f} GB" + (": DOES NOT FIT" if total > size else ""),
        *(f"  {part:40}{size_text(size, 2):>12}{_place(part, layout)}" for part, size in parts.items()),
    ]
    if stages > 1:
        totals = ", ".join(size_text(sum(stage.values())) for stage in each)
        lines.append(f"  stages, a process of each               {totals}")
    lines.append(_host_line(config, recipe, host, layout))
    return lines + [f"  {part:40}{size_text(size, 2):>12}" for part, size in host.items() if size]


def _message_lines(traffic: Sequence[Traffic], computing: float, gpu: GpuModel) -> list[str]:
    """What a process sends in an update, and whether its computation hides that."""
    if not traffic:
        return []
    waited = update_seconds(traffic, computing, gpu) - computing
    lines = [
        f"messages     {size_text(sum(each.size for each in traffic))} from a process in an update, which computes "
        f"{duration_text(computing / 3600)} and waits {duration_text(waited / 3600)} for them at the peak of its links"
    ]
    for each in traffic:
        hidden = "while others are computed" if each.behind else "waited for"
        lines.append(
            f"  {each.name:40}{size_text(each.size, 2):>12}, {duration_text(each.seconds(gpu) / 3600)}, {hidden}"
        )
    return lines


def duration_text(hours: float) -> str:
    """A time as people say it."""
    return (
        f"{hours:,.1f} h" if hours >= 1 else f"{hours * 60:,.1f} min" if hours >= 1 / 60 else f"{hours * 3600:,.1f} s"
    )


def size_text(size: float, digits: int = 1) -> str:
    """Bytes as people say them."""
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
        f"host memory  {size_text(each)} a process beside Python itself, {size_text(machine)} a machine of {together}; "
        f"the first puts {size_text(last)} together to save"
    )
