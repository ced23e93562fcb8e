"""One process of a run, put together: model, adapter, sharding, optimizer."""

import torch
from accelerate import Accelerator

from finetune.engine.adapter import add_adapter, widen_trained
from finetune.engine.optimizer import make_optimizer
from finetune.engine.wide_gradients import WideGradients
from finetune.engine.worker import Worker
from finetune.folders import weights
from finetune.layout import Sharding
from finetune.parallel import launch
from finetune.parallel.patience import Patience
from finetune.recipe import Recipe


def make_worker(accelerator: Accelerator, sharding: Sharding, recipe: Recipe, patience: Patience) -> Worker:
    """Load the model, add the adapter, spread both over the processes, and make the optimizer."""
    run, optim = recipe.run, recipe.optim
    processes = accelerator.num_processes
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
    if frozen and not pure:
        widen_trained(model)
    grid = launch.make_mesh(accelerator, run.tensor_parallel)
    launch.shard(model, unwrapped, grid, sharding, run.precision)
    if cut_first:
        weights.fill_weights(unwrapped, path, str(launch.weights_device(accelerator)))
    patience.wait()  # another process may read from a slower disk
    optimizer = make_optimizer(model.parameters(), optim, pure)
    wide = WideGradients() if pure and sharding == "none" and not optim.in_backward else None
    if sharding.startswith("zero"):
        model, optimizer = accelerator.prepare(model, optimizer)
    elif wide is not None:
        wide.watch(model.parameters())  # the worker averages them: DistributedDataParallel would do it in bfloat16
    elif sharding == "none":
        # Tensor-parallel processes hold different weights, so DistributedDataParallel must not wrap them.
        model = accelerator.prepare_model(model, evaluation_mode=run.tensor_parallel > 1)
    launch.check_sharding(model, sharding, processes)
    unwrapped.set_compiled(compiles(recipe, sharding, accelerator.device.type))
    model.train()  # DeepSpeed's engine returns nothing here
    autocast = run.precision == "bf16" and sharding == "none"  # the others are told to compute in bfloat16 themselves
    rank = accelerator.process_index // run.tensor_parallel
    ranks = processes // run.tensor_parallel
    return Worker(
        accelerator,
        model,
        unwrapped,
        optimizer,
        sharding,
        autocast,
        rank,
        ranks,
        optim.micro_batch,
        optim.clip_norm,
        wide,
        patience=patience,
    )


def compiles(recipe: Recipe, sharding: Sharding, device: str) -> bool:
    """Whether layers run compiled: as the recipe says, or, if it leaves it open, where all of them can on CUDA."""
    chosen = recipe.model.compile
    whole = recipe.run.tensor_parallel == 1 and not sharding.startswith("zero") and recipe.adapter.kind != "qlora"
    able = whole and recipe.run.precision != "fp32"
    return device == "cuda" and able if chosen == "auto" else chosen
