"""What a run of `kind: ppo` will need: memory of all its models and of the answers, and the time of an iteration."""

import math
from pathlib import Path

from camelid.errors import UserError
from finetune.communication import update_seconds, update_traffic
from finetune.folders.score_head import with_score
from finetune.layout import Layout, check
from finetune.llama.config import LlamaConfig
from finetune.memory import AT_WORK, GATHERED, estimate_memory
from finetune.parallel.hardware import ACCELERATORS, GpuModel, flops_per_token
from finetune.parameter_counts import count_parameters
from finetune.plan import GB, MFU, duration_text, get_config, size_text
from finetune.ppo.collect import capacity_of
from finetune.ppo.models import critic_recipe
from finetune.ppo.rewards import critic_start, is_reward_model
from finetune.ppo.sampler import AT_ONCE, ROOM
from finetune.recipe import ModelSection, PpoRecipe

STANDING = ("weights", GATHERED, "optimizer")  # held all the time,
TRAINING = ("gradients", "activations", AT_WORK)  # and while a model is trained


def ppo_plan_report(recipe: PpoRecipe, layout: Layout, gpu: str, price: float | None) -> str:
    """The whole plan as text; arguments and errors as of `plan_report`."""
    if gpu not in ACCELERATORS:
        raise UserError(f"--gpu {gpu}: not known; known: {', '.join(ACCELERATORS)}")
    config, kind, section = get_config(recipe.model), ACCELERATORS[gpu], recipe.ppo
    check(recipe, layout, config)
    parts = memory_parts(recipe, config, layout)
    total = sum(parts.values())
    seconds = iteration_seconds(recipe, config, layout, kind)
    whole, processes = sum(seconds.values()), layout.processes
    trained = count_parameters(config, recipe.adapter).trained
    minibatches = section.batch // recipe.optim.global_batch
    lines = [
        f"model        {recipe.model.path}: {config.num_parameters():,} parameters, {trained:,} trained "
        f"({trained / config.num_parameters():.2%})",
        f"layout       {processes} process(es), sharding {layout.sharding}; an iteration is {section.batch} answers, "
        f"{section.answers} to each prompt, in {minibatches} update(s) of {recipe.optim.global_batch}",
        f"memory       {size_text(total)} a process, in {recipe.run.precision}, recompute {recipe.model.recompute}; "
        f"{gpu} has {kind.memory / GB:.0f} GB" + (": DOES NOT FIT" if total > kind.memory else ""),
        *(f"  {part:40}{size_text(size, 2):>12}" for part, size in parts.items()),
        f"iteration    with answers of {section.max_new_tokens} tokens to prompts of {recipe.data.max_length}, about",
        *(f"  {part:40}{duration_text(each / 3600):>12}" for part, each in seconds.items()),
    ]
    if section.sampler is not None:
        lines.append("answers      are written by the server of ppo.sampler, whose memory and time are not counted")
    updates = recipe.optim.updates
    iterations = 1 if updates is None else math.ceil(updates / minibatches)
    hours = iterations * whole / 3600
    cost = f", {hours * processes * price:,.2f} USD at {price:g} USD an hour each" if price is not None else ""
    said = "an iteration" if updates is None else f"{iterations:,} iterations, {updates:,} updates"
    lines.append(
        f"time         {duration_text(hours)} for {said} on {processes} x {gpu} at {MFU:.0%} of "
        f"{kind.flops / 1e12:.0f} TFLOP/s ({hours * processes:,.2f} GPU hours){cost}"
    )
    return "\n".join(lines)


def memory_parts(recipe: PpoRecipe, config: LlamaConfig, layout: Layout) -> dict[str, float]:
    """Bytes on one process, by part. Models are trained one after the other, and never while answers are written."""
    capacity = capacity_of(recipe)
    policy = estimate_memory(config, recipe.model, recipe.optim, recipe.adapter, recipe.run, capacity, layout)
    parts = {f"policy: {name}": policy[name] for name in STANDING if policy[name]}
    working = [sum(policy[name] for name in TRAINING)]
    if recipe.ppo.advantage == "critic":
        critic, shape = critic_recipe(recipe), _critic_config(recipe, config)
        held = estimate_memory(shape, critic.model, critic.optim, critic.adapter, critic.run, capacity, layout)
        parts |= {f"critic: {name}": held[name] for name in STANDING if held[name]}
        working.append(sum(held[name] for name in TRAINING))
    cut = 1 / layout.processes if layout.sharding == "fsdp2" else 1.0
    stored = 2 if recipe.run.precision == "bf16-pure" else 4
    if recipe.adapter.kind == "none":
        parts["the model it starts from"] = config.num_parameters() * stored * cut
    models = [where for where in recipe.ppo.rewards.values() if is_reward_model(where)]
    if models:
        sizes = [_config_at(where, config).num_parameters() for where in models]
        parts[f"{len(models)} reward model(s)"] = 2.0 * sum(sizes)
    computed = 4 if recipe.run.precision == "fp32" else 2
    if recipe.ppo.sampler is not None:
        return parts | {"gradients and activations": max(working)}
    if layout.sharding == "fsdp2":
        parts["the whole policy, to sample with"] = float(config.num_parameters() * computed)
    tokens = min(ROOM, answers_at_once(recipe, layout) * (recipe.data.max_length + recipe.ppo.max_new_tokens))
    cache = tokens * 2.0 * config.num_hidden_layers * config.kv_heads * config.head_size * computed
    parts["answers' keys and values, or gradients"] = max(cache, *working)
    return parts


def answers_at_once(recipe: PpoRecipe, layout: Layout) -> int:
    """That a process writes at the same time, if there is room."""
    longest = recipe.data.max_length + recipe.ppo.max_new_tokens
    return max(1, min(AT_ONCE, recipe.ppo.batch // layout.processes, ROOM // longest))


def iteration_seconds(recipe: PpoRecipe, config: LlamaConfig, layout: Layout, gpu: GpuModel) -> dict[str, float]:
    """By what is done: at the same share of the peak as training; a decoder's step reads all weights at least."""
    section, processes, batch = recipe.ppo, layout.processes, recipe.ppo.batch
    prompts = batch / section.answers
    tokens = prompts * capacity_of(recipe)
    rate = gpu.flops * MFU * processes
    shape = _critic_config(recipe, config)
    forward = tokens * flops_per_token(config, capacity_of(recipe)) / 3 / rate
    critic = tokens * flops_per_token(shape, capacity_of(recipe)) / rate if section.advantage == "critic" else 0.0
    passes = math.ceil(batch / processes / answers_at_once(recipe, layout))
    read = (4 if recipe.run.precision == "fp32" else 2) * config.num_parameters() / gpu.bandwidth
    models = [where for where in section.rewards.values() if is_reward_model(where)]
    scored = sum(
        tokens * flops_per_token(_config_at(where, config), capacity_of(recipe)) / 3 / rate for where in models
    )
    frozen = recipe.adapter.kind != "none"
    share = 1 / math.ceil(batch / recipe.optim.global_batch)
    micro = math.ceil(recipe.optim.global_batch / section.answers / processes / recipe.optim.micro_batch)
    policy = tokens * flops_per_token(config, capacity_of(recipe), 1.0, frozen) / rate
    traffic = update_traffic(config, recipe, layout, micro, tokens * share / processes / micro)
    writing = {"writing answers": max(forward, passes * section.max_new_tokens * read)}
    return {
        **(writing if section.sampler is None else {}),
        "log-probabilities and values": 2 * forward + critic / 3,
        **({"rewards": scored} if models else {}),
        "updates of the policy": update_seconds(traffic, policy * share, gpu) / share,
        **({"updates of the critic": update_seconds(traffic, critic * share, gpu) / share} if critic else {}),
    }


def _critic_config(recipe: PpoRecipe, config: LlamaConfig) -> LlamaConfig:
    return with_score(_config_at(critic_start(recipe.ppo.rewards, recipe.model.path), config))


def _config_at(folder: str, otherwise: LlamaConfig) -> LlamaConfig:
    """The shape of a model's folder; of one that is not there, that of a reward model of the policy's shape."""
    if (Path(folder) / "config.json").is_file():
        return get_config(ModelSection(folder))
    return with_score(otherwise)
