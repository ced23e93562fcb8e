"""One process of a run, put together: model, adapter, sharding, optimizer."""

import torch
from accelerate import Accelerator
from torch import nn

from finetune.engine.adapter import add_adapter
from finetune.engine.float8 import use_float8
from finetune.engine.load import fill_cut_model, load_in_parts, load_quantised
from finetune.engine.optimizer import make_optimizer
from finetune.engine.wide_gradients import WideGradients
from finetune.engine.worker import Worker
from finetune.folders import weights
from finetune.folders.score_head import with_score
from finetune.layout import Sharding, compiles, loads_whole
from finetune.llama.config import LlamaConfig
from finetune.llama.model import Llama
from finetune.parallel import launch
from finetune.parallel.patience import Patience
from finetune.parallel.pipeline import Pipeline, cut_to_stage
from finetune.recipe import Recipe, context_parts, pipeline_stages, steps_in_backward


def make_worker(accelerator: Accelerator, sharding: Sharding, recipe: Recipe, patience: Patience) -> Worker:
    """Load the model, add the adapter, spread both over the processes, and make the optimizer."""
    run, optim = recipe.run, recipe.optim
    processes = accelerator.num_processes
    pure = run.pure
    stages = pipeline_stages(run)
    model, unwrapped, pipeline = _load(accelerator, sharding, recipe)
    patience.wait()  # another process may read from a slower disk
    optimizer = make_optimizer(model.parameters(), optim, pure)
    wide = WideGradients() if pure and sharding == "none" and not steps_in_backward(optim) else None
    if sharding.startswith("zero"):
        model, optimizer = accelerator.prepare(model, optimizer)
    elif wide is not None:
        wide.watch(model.parameters())  # the worker averages them: DistributedDataParallel would do it in bfloat16
    elif sharding == "none":
        # Processes that share the model hold different weights, so DistributedDataParallel must not wrap them.
        model = accelerator.prepare_model(model, evaluation_mode=run.tensor_parallel * stages > 1)
    launch.check_sharding(model, sharding, processes)
    unwrapped.set_compiled(compiles(recipe, sharding, accelerator.device.type))
    model.train()  # DeepSpeed's engine returns nothing here
    autocast = run.precision == "bf16" and sharding == "none"  # the others are told to compute in bfloat16 themselves
    ranks = processes // run.tensor_parallel // stages
    rank = accelerator.process_index // run.tensor_parallel % ranks
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
        pipeline=pipeline,
        context=launch.share_context(accelerator, context_parts(run)),
    )


def make_frozen_worker(accelerator: Accelerator, sharding: Sharding, recipe: Recipe, patience: Patience) -> Worker:
    """The model that a recipe starts from, spread over the processes as the trained one is, but never trained."""
    model, unwrapped, _ = _load(accelerator, sharding, recipe)
    patience.wait()
    model.requires_grad_(False)
    autocast = recipe.run.precision == "bf16" and sharding == "none"
    optimizer = torch.optim.SGD([torch.zeros(())])  # steps nothing
    rank, ranks = accelerator.process_index, accelerator.num_processes
    batch = recipe.optim.micro_batch
    return Worker(
        accelerator, model, unwrapped, optimizer, sharding, autocast, rank, ranks, batch, 0.0, patience=patience
    )


def _load(accelerator: Accelerator, sharding: Sharding, recipe: Recipe) -> tuple[nn.Module, Llama, Pipeline | None]:
    """What is trained, and the LLaMA in it, spread over the processes (but for what DeepSpeed does later)."""
    if pipeline_stages(recipe.run) > 1:
        return _load_stage(accelerator, sharding, recipe)
    run, adapter, path = recipe.run, recipe.adapter, recipe.model.path
    config = LlamaConfig.from_folder(path)
    config = with_score(config) if recipe.kind == "reward" else config
    frozen, pure = adapter.kind != "none", run.pure
    half = pure or (run.precision == "bf16" and (frozen or sharding == "zero3"))
    dtype = torch.bfloat16 if half else torch.float32
    device = str(accelerator.device if sharding in ("none", "zero1", "zero2") else torch.device("cpu"))
    whole = loads_whole(config, adapter)
    if sharding == "zero3" and not whole:
        settings = accelerator.state.deepspeed_plugin.deepspeed_config
        model, unwrapped = load_in_parts(path, dtype, adapter, run.seed, settings, config)
    elif sharding == "fsdp2" and not whole:
        unwrapped = weights.load_without_storage(path, dtype, config)
        model = add_adapter(unwrapped, adapter, path, run.seed, not pure) if frozen else unwrapped
    else:
        quantised = adapter.kind == "qlora"
        unwrapped = (
            load_quantised(path, dtype, adapter.targets, device)
            if quantised
            else weights.load_model(path, dtype, device, config, run.seed)
        )
        model = add_adapter(unwrapped, adapter, path, run.seed, not pure) if frozen else unwrapped
    if run.precision == "fp8":
        use_float8(unwrapped, accelerator.device)
    unwrapped.set_recompute(recipe.model.recompute)
    launch.shard(model, unwrapped, launch.make_mesh(accelerator, run.tensor_parallel), sharding, run.precision)
    if sharding == "fsdp2" and not whole:
        fill_cut_model(unwrapped, path, str(launch.weights_device(accelerator)), run.seed)
    return model, unwrapped, None


def _load_stage(accelerator: Accelerator, sharding: Sharding, recipe: Recipe) -> tuple[nn.Module, Llama, Pipeline]:
    """This process's stage of the model: what other stages hold is never read."""
    run, path, stages = recipe.run, recipe.model.path, pipeline_stages(recipe.run)
    pure = run.pure
    model = weights.load_without_storage(path, torch.bfloat16 if pure else torch.float32)
    shapes = {name: weight.shape for name, weight in model.named_parameters()}
    grid = launch.make_mesh(accelerator, run.tensor_parallel, stages)
    assert grid is not None
    half = pure or (run.precision == "bf16" and sharding == "fsdp2")  # of hidden states; autocast leaves them wide
    dtype = torch.bfloat16 if half else torch.float32
    pipeline = Pipeline(grid["pipe"], shapes, model.config.hidden_size, dtype, accelerator.device)
    cut_to_stage(model, pipeline.stage, stages)
    model.set_recompute(recipe.model.recompute)
    launch.shard(model, model, grid, sharding, run.precision)
    fill_cut_model(model, path, str(launch.weights_device(accelerator)), run.seed)
    return model, model, pipeline
