"""What was launched: processes, backend, sharding; checked against what was asked, so that neither is a surprise."""

import os
from typing import Literal

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, DistributedType, InitProcessGroupKwargs
from torch import distributed, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, FSDPModule, MixedPrecisionPolicy, OffloadPolicy, fully_shard
from torch.distributed.tensor import DTensor

from camelid.errors import UserError
from finetune.layout import Layout, Sharding, zero_stage
from finetune.llama.context_share import ContextShare
from finetune.llama.model import Llama
from finetune.parallel.pipeline import PassedOn
from finetune.parallel.tensor_parallel import parallelise
from finetune.recipe import PlaceSection, StepSection

Precision = Literal["fp32", "bf16", "bf16-pure", "fp8"]


def start(run: PlaceSection, optim: StepSection) -> tuple[Accelerator, Sharding]:
    """Join the processes that were launched.

    Args:
        run: how many processes there must be, and how the model must be spread over them.
        optim: `clip_norm`, which DeepSpeed clips at.

    Returns:
        The accelerator, and how the model is to be spread over the processes.

    Raises:
        UserError: world size, backend or sharding are not what was asked for.
    """
    on_cpu = not torch.accelerator.is_available()
    deepspeed = uses_deepspeed()
    accelerator = Accelerator(
        cpu=on_cpu and not deepspeed,  # without it Accelerate starts processes on a CPU that never talk
        mixed_precision="bf16" if run.precision == "bf16" and deepspeed else "no",
        log_with=list(run.trackers) or None,
        project_dir=run.output,
        kwargs_handlers=[
            DistributedDataParallelKwargs(gradient_as_bucket_view=True),  # no second copy of the gradients
            *([InitProcessGroupKwargs(backend="gloo")] if on_cpu and deepspeed else []),
        ],
    )
    _check_world(accelerator, run.processes)
    actual = _sharding(accelerator, run.sharding)
    if actual in ("zero1", "zero2", "zero3"):
        settings = accelerator.state.deepspeed_plugin.deepspeed_config
        settings["train_micro_batch_size_per_gpu"] = 1  # it wants some number; micro-batches are ours
        settings["gradient_accumulation_steps"] = 1  # accumulation is ours; the engine must not scale again
        settings["gradient_clipping"] = optim.clip_norm
        settings["zero_force_ds_cpu_optimizer"] = False  # the recipe's optimizer steps, offloaded or not
    return accelerator, actual


OFFLOAD = "FSDP_OFFLOAD_PARAMS"


def uses_deepspeed() -> bool:
    """Whether the launcher has set up DeepSpeed."""
    return _launcher_says("ACCELERATE_USE_DEEPSPEED")


def weights_device(accelerator: Accelerator) -> torch.device:
    """Where the weights of fsdp2 live between uses."""
    return torch.device("cpu") if _launcher_says(OFFLOAD) else accelerator.device


def _launcher_says(name: str) -> bool:
    """Whether `accelerate launch` has set this of its variables."""
    return os.environ.get(name, "false").lower() == "true"


def _check_world(accelerator: Accelerator, processes: int | None) -> None:
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    asked = launched if processes is None else processes
    actual = distributed.get_world_size() if distributed.is_initialized() else 1
    if asked != actual or actual != accelerator.num_processes:
        raise UserError(
            f"asked for {asked} process(es), but {actual} work(s) together; on CPU start several with: "
            "torchrun --nproc_per_node N -m finetune.train RECIPE"
        )
    if actual > 1:
        wanted = {"cuda": "nccl", "cpu": "gloo"}.get(accelerator.device.type)
        backend = distributed.get_backend()
        if wanted is not None and wanted not in backend:
            raise UserError(f"the processes talk through {backend!r} on {accelerator.device.type}; expected {wanted!r}")


def _sharding(accelerator: Accelerator, asked: str | None) -> Sharding:
    if accelerator.distributed_type == DistributedType.DEEPSPEED:
        return zero_stage(accelerator.state.deepspeed_plugin.zero_stage)
    return "fsdp2" if asked == "fsdp2" or _launcher_says("ACCELERATE_USE_FSDP") else "none"


def launched_layout(accelerator: Accelerator, sharding: Sharding) -> Layout:
    """How the processes that were launched spread the model."""
    weights = optimizer = _launcher_says(OFFLOAD) and sharding == "fsdp2"
    if sharding.startswith("zero"):
        zero = accelerator.state.deepspeed_plugin.deepspeed_config["zero_optimization"]
        devices = [(zero.get(f"offload_{what}") or {}).get("device") for what in ("param", "optimizer")]
        weights, optimizer = (device not in (None, "none") for device in devices)
    processes = accelerator.num_processes
    machines = max(1, processes // int(os.environ.get("LOCAL_WORLD_SIZE", processes)))
    return Layout(processes, machines, sharding, weights and sharding != "zero2", optimizer, accelerator.device.type)


def make_mesh(accelerator: Accelerator, tensor_parallel: int, stages: int = 1) -> DeviceMesh | None:
    """The processes as a grid (pipe, data, tensor), None where no mesh is needed."""
    processes = accelerator.num_processes
    if processes == 1:
        return None
    shape = (stages, processes // tensor_parallel // stages, tensor_parallel)
    return init_device_mesh(accelerator.device.type, shape, mesh_dim_names=("pipe", "data", "tensor"))


def share_context(accelerator: Accelerator, size: int) -> ContextShare | None:
    """This process's place among its neighbours, so many, that share documents; None if each has whole ones."""
    if size == 1:
        return None
    shape = (accelerator.num_processes // size, size)
    mesh = init_device_mesh(accelerator.device.type, shape, mesh_dim_names=("data", "context"))["context"]
    return ContextShare(mesh.get_group(), mesh.get_local_rank(), size)


def shard(
    model: nn.Module, unwrapped: Llama, grid: DeviceMesh | None, sharding: Sharding, precision: Precision
) -> None:
    """Cut the weights over the processes, in place: matrices over `tensor`, then all of it over `data`.

    Args:
        model: the whole module, adapters included.
        unwrapped: the LLaMA in it.
        grid: from `make_mesh`.
        sharding: from `start`.
        precision: what is computed in; gradients are summed in float32.
    """
    if grid is None:
        return
    data, tensor = grid["data"], grid["tensor"]
    if tensor.size() > 1:
        parallelise(unwrapped, tensor)
    if sharding != "fsdp2":
        return
    policy = MixedPrecisionPolicy()
    if precision == "bf16":
        policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    elif precision in ("bf16-pure", "fp8"):
        policy = MixedPrecisionPolicy(reduce_dtype=torch.float32)
    offload = CPUOffloadPolicy() if _launcher_says(OFFLOAD) else OffloadPolicy()
    reshard = os.environ.get("FSDP_RESHARD_AFTER_FORWARD", "true").lower() == "true" and grid["pipe"].size() == 1
    for layer in unwrapped.model.layers:
        if isinstance(layer, PassedOn):
            continue
        fully_shard(layer, mesh=data, reshard_after_forward=reshard, mp_policy=policy, offload_policy=offload)
    fully_shard(model, mesh=data, reshard_after_forward=reshard, mp_policy=policy, offload_policy=offload)


def check_sharding(model: nn.Module, sharding: Sharding, processes: int) -> None:
    """Refuse to train if the weights are not where `sharding` says.

    Raises:
        UserError: a weight is whole on this process, or a shard where it should be whole.
    """
    if sharding == "none":
        return
    if sharding == "fsdp2":
        right = isinstance(model, FSDPModule) and all(isinstance(weight, DTensor) for weight in model.parameters())
    elif sharding == "zero3":
        right = all(hasattr(weight, "ds_id") for weight in model.parameters())
    else:
        right = int(model.zero_optimization_stage()) == int(sharding[-1])  # type: ignore[operator]
    if not right:
        raise UserError(f"sharding {sharding!r} over {processes} processes was asked for, but is not in force")
