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
from finetune.llama.model import Llama
from finetune.parallel.tensor_parallel import parallelise
from finetune.recipe import OptimSection, RunSection

Sharding = Literal["none", "fsdp2", "zero1", "zero2", "zero3"]
Precision = Literal["fp32", "bf16", "bf16-pure"]


def start(run: RunSection, optim: OptimSection) -> tuple[Accelerator, Sharding]:
    """Join the processes that were launched.

    Args:
        run: how many processes there must be, and how the model must be spread over them.
        optim: `micro_batch`, which DeepSpeed wants to know, and `clip_norm`, which it clips at.

    Returns:
        The accelerator, and how the model is to be spread over the processes.

    Raises:
        UserError: world size, backend or sharding are not what was asked for.
    """
    on_cpu = not torch.accelerator.is_available()
    deepspeed = _launcher_says("ACCELERATE_USE_DEEPSPEED")
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
    if run.sharding is not None and run.sharding != actual:
        raise UserError(f"run.sharding = {run.sharding!r}, but the launcher set up {actual!r}; {_HOW[run.sharding]}")
    if actual in ("zero1", "zero2", "zero3"):
        if run.precision == "bf16-pure":
            raise UserError("run.precision = 'bf16-pure' does not work with DeepSpeed; use bf16, or run.sharding=fsdp2")
        settings = accelerator.state.deepspeed_plugin.deepspeed_config
        settings["train_micro_batch_size_per_gpu"] = optim.micro_batch
        settings["gradient_accumulation_steps"] = 1  # accumulation is ours; the engine must not scale again
        settings["gradient_clipping"] = optim.clip_norm
        settings["zero_force_ds_cpu_optimizer"] = False  # the recipe's optimizer steps, offloaded or not
    return accelerator, actual


_HOW = {
    "none": "launch with recipes/launch/ddp.yaml",
    "fsdp2": "launch with recipes/launch/fsdp2.yaml or torchrun",
    "zero2": "launch with recipes/launch/deepspeed-zero2.yaml",
    "zero3": "launch with recipes/launch/deepspeed-zero3.yaml or deepspeed-zero3-offload.yaml",
}


OFFLOAD = "FSDP_OFFLOAD_PARAMS"


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
        stage = accelerator.state.deepspeed_plugin.zero_stage
        names: dict[int, Sharding] = {1: "zero1", 2: "zero2", 3: "zero3"}
        if stage not in names:
            raise UserError(f"DeepSpeed with zero_stage {stage} shards nothing; launch with recipes/launch/ddp.yaml")
        return names[stage]
    if asked == "fsdp2" or (asked is None and _launcher_says("ACCELERATE_USE_FSDP")):
        if accelerator.num_processes == 1:
            raise UserError("fsdp2 needs more than one process; launch several, or set run.sharding=none")
        return "fsdp2"
    return "fsdp2" if _launcher_says("ACCELERATE_USE_FSDP") else "none"


def make_mesh(accelerator: Accelerator, tensor_parallel: int) -> DeviceMesh | None:
    """The processes as a grid (data, tensor), None where no mesh is needed.

    Raises:
        UserError: `run.tensor_parallel` does not divide the number of processes.
    """
    processes = accelerator.num_processes
    if processes % tensor_parallel:
        raise UserError(f"run.tensor_parallel = {tensor_parallel} must divide the number of processes, {processes}")
    if processes == 1:
        return None
    shape = (processes // tensor_parallel, tensor_parallel)
    return init_device_mesh(accelerator.device.type, shape, mesh_dim_names=("data", "tensor"))


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

    Raises:
        UserError: tensor parallelism with another sharding than fsdp2 and several data-parallel ranks.
    """
    if grid is None:
        return
    data, tensor = grid["data"], grid["tensor"]
    if tensor.size() > 1:
        if sharding != "fsdp2" and (sharding != "none" or data.size() > 1):
            raise UserError("run.tensor_parallel goes with run.sharding=fsdp2, or with as many processes as it says")
        parallelise(unwrapped, tensor)
    if sharding != "fsdp2":
        return
    policy = MixedPrecisionPolicy()
    if precision == "bf16":
        policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    elif precision == "bf16-pure":
        policy = MixedPrecisionPolicy(reduce_dtype=torch.float32)
    offload = CPUOffloadPolicy() if _launcher_says(OFFLOAD) else OffloadPolicy()
    reshard = os.environ.get("FSDP_RESHARD_AFTER_FORWARD", "true").lower() == "true"
    for layer in unwrapped.model.layers:
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
