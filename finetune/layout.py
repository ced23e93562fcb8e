"""How a run is spread over processes, as its launch file says, and whether its recipe goes with that."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import yaml

from camelid.errors import UserError
from camelid.files.read import read_json, read_text
from finetune.combinations import find_exclusion, number, refuse_combination
from finetune.llama.config import LlamaConfig
from finetune.recipe import (
    AdapterSection,
    PlaceSection,
    Recipe,
    context_parts,
    pipeline_stages,
    recipe_choices,
)

Sharding = Literal["none", "fsdp2", "zero1", "zero2", "zero3"]
STAGES: dict[int, Sharding] = {1: "zero1", 2: "zero2", 3: "zero3"}
HOW = {
    "none": "launch with recipes/launch/ddp.yaml",
    "fsdp2": "launch with recipes/launch/fsdp2.yaml or torchrun",
    "zero2": "launch with recipes/launch/deepspeed-zero2.yaml",
    "zero3": "launch with recipes/launch/deepspeed-zero3.yaml or deepspeed-zero3-offload.yaml",
}


@dataclass(frozen=True)
class Layout:
    """How a run is spread.

    Attributes:
        processes: over all machines.
        machines: that they run on, as many on each.
        sharding: what each process has a part of: see `RunSection`; `zero1` cuts the optimizer's state alone.
        offload_weights, offload_optimizer: what lies in the machine's memory between uses.
        device: `cpu` or `cuda`; None if it is not known yet.
    """

    processes: int = 1
    machines: int = 1
    sharding: Sharding = "none"
    offload_weights: bool = False
    offload_optimizer: bool = False
    device: str | None = None


def loads_whole(config: LlamaConfig, adapter: AdapterSection) -> bool:
    """Whether every process reads the whole model before its weights are cut, whatever the sharding.

    A tied matrix that is trained beside an adapter is two modules, which only loading whole keeps one.
    """
    return adapter.kind != "none" and bool(adapter.also) and config.tie_word_embeddings


def compiles(recipe: Recipe, sharding: Sharding, device: str) -> bool:
    """Whether layers run compiled: as the recipe says, or, if it leaves it open, where it pays on CUDA.

    Compiled micro-batches are filled up, so documents must be many to one.
    """
    if recipe.kind != "sft":  # pieces of uneven lengths
        return False
    if recipe.model.compile != "auto":
        return recipe.model.compile
    choices = recipe_choices(recipe) | {"model.compile": "true", "run.sharding": sharding}
    return device == "cuda" and recipe.run.precision != "fp32" and find_exclusion(choices) is None


def check(recipe: Recipe, layout: Layout, config: LlamaConfig | None = None) -> None:
    """Refuse a run that cannot train, before anything is loaded.

    Args:
        recipe: what is asked for.
        layout: what is launched, or planned.
        config: the model, if it is known.

    Raises:
        UserError: choices that exclude each other (`finetune.combinations`), or processes that cannot share the model.
    """
    run, offload = recipe.run, layout.offload_weights or layout.offload_optimizer
    if run.processes not in (None, layout.processes):
        raise UserError(f"run.processes = {run.processes}, but {layout.processes} process(es) are launched")
    if run.sharding not in (None, layout.sharding):
        asked = f"run.sharding = {run.sharding!r}, but the launcher set up {layout.sharding!r}"
        raise UserError(f"{asked}; {HOW[str(run.sharding)]}")
    if layout.sharding == "fsdp2" and layout.processes == 1:
        raise UserError("fsdp2 needs more than one process; launch several, or set run.sharding=none")
    choices = {"run.sharding": layout.sharding, "processes": number(layout.processes)}
    choices["offload"] = "true" if offload else "false"
    if layout.device is not None:
        choices["device"] = layout.device
    if config is not None:
        choices["tie_word_embeddings"] = "true" if config.tie_word_embeddings else "false"
    refuse_combination(recipe_choices(recipe) | choices)
    _check_model_parallel(run.tensor_parallel, pipeline_stages(run), layout)
    context = context_parts(run)
    if layout.processes % context:
        raise UserError(f"run.context_parallel = {context} must divide the number of processes, {layout.processes}")
    if context > 1 and config is not None and config.rope_type == "dynamic":
        raise UserError(
            f"run.context_parallel = {context}: with rope_scaling.rope_type = 'dynamic' angles depend on the length of "
            "a document, of which a process has a part; train without it"
        )
    if config is not None:
        _check_shape(run.tensor_parallel, pipeline_stages(run), config)
    if config is not None and config.num_labels and recipe.kind != "reward":
        raise UserError(f"model.path = {recipe.model.path!r} is a reward model, which says nothing; begin from another")


def _check_model_parallel(tensor: int, stages: int, layout: Layout) -> None:
    """Whether the processes can share the model between them."""
    for name, size in (("tensor_parallel", tensor), ("pipeline_parallel", stages)):
        asked = f"run.{name} = {size}"
        if layout.processes % size:
            raise UserError(f"{asked} must divide the number of processes, {layout.processes}")
        if size > 1 and layout.sharding == "none" and layout.processes != size:
            raise UserError(f"{asked} goes with run.sharding=fsdp2, or with as many processes as it says")


def _check_shape(size: int, stages: int, config: LlamaConfig) -> None:
    """Whether a model can be cut so often."""
    asked = f"run.tensor_parallel = {size}"
    if stages > config.num_hidden_layers:
        raise UserError(f"run.pipeline_parallel = {stages}: the model has {config.num_hidden_layers} layers")
    for name, count in (("key and value heads", config.kv_heads), ("intermediate_size", config.intermediate_size)):
        if count % size:
            raise UserError(f"{asked} must divide the {count} {name}")


def read_launch_file(path: str | Path) -> Layout:
    """Read an accelerate configuration.

    Raises:
        UserError: it is broken, names no number of processes, or spreads the model in a way that we don't.
    """
    try:
        settings = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise UserError(f"{path}: broken YAML: {error}") from None
    if not isinstance(settings, dict) or not isinstance(settings.get("num_processes"), int):
        raise UserError(
            f"{path}: no 'num_processes'; expected an accelerate configuration such as recipes/launch/cpu.yaml"
        )
    processes, machines = settings["num_processes"], settings.get("num_machines") or 1
    if processes < 1 or not isinstance(machines, int) or machines < 1 or processes % machines:
        raise UserError(f"{path}: num_processes = {processes} must be a multiple of num_machines = {machines}")
    device = "cpu" if settings.get("use_cpu") else None
    kind = str(settings.get("distributed_type") or "NO").upper()
    if kind == "FSDP":
        offload = bool((settings.get("fsdp_config") or {}).get("fsdp_offload_params"))
        return Layout(processes, machines, "fsdp2", offload, offload, device)
    if kind == "DEEPSPEED":
        stage, weights, optimizer = _read_deepspeed(settings.get("deepspeed_config") or {}, Path(path))
        return Layout(processes, machines, zero_stage(stage), weights, optimizer, device)
    if kind != "NO" and not kind.startswith("MULTI_"):
        raise UserError(f"{path}: distributed_type = {kind!r} is not supported; known: NO, MULTI_GPU, FSDP, DEEPSPEED")
    return Layout(processes, machines, "none", device=device)


def planned_layout(run: PlaceSection, launch_file: str | None) -> Layout:
    """How a run would be spread: by its launch file, or without one by torchrun as the recipe says.

    Raises:
        UserError: as `read_launch_file`.
    """
    if launch_file is None:
        return Layout(run.processes or 1, sharding=run.sharding or "none")
    layout = read_launch_file(launch_file)
    # The recipe may ask for fsdp2 where the launcher starts plain processes.
    return replace(layout, sharding="fsdp2") if (run.sharding, layout.sharding) == ("fsdp2", "none") else layout


def zero_stage(stage: object) -> Sharding:
    """The sharding of a stage of DeepSpeed's ZeRO.

    Raises:
        UserError: it shards nothing.
    """
    if not isinstance(stage, int) or stage not in STAGES:
        raise UserError(f"DeepSpeed with zero_stage {stage} shards nothing; launch with recipes/launch/ddp.yaml")
    return STAGES[stage]


def _read_deepspeed(settings: dict[str, Any], path: Path) -> tuple[object, bool, bool]:
    """Stage, and whether weights and optimizer are offloaded; from DeepSpeed's own file if one is named."""
    named = settings.get("deepspeed_config_file")
    if named:
        zero = read_json(Path(named) if Path(named).exists() else path.parent / named).get("zero_optimization", {})
        devices = [(zero.get(f"offload_{what}") or {}).get("device") for what in ("param", "optimizer")]
        stage = zero.get("stage", 0)
    else:
        devices = [settings.get(f"offload_{what}_device") for what in ("param", "optimizer")]
        stage = settings.get("zero_stage", 2)  # accelerate's default
    weights, optimizer = (device not in (None, "none") for device in devices)
    return stage, weights and stage == 3, optimizer
