"""The model and its adapter, read tensor by tensor: no process holds more of them than it keeps, and one tensor.

Modules are made without storage, cut over the processes where the layout does so, and filled from the base's files.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from finetune.engine.adapter import add_adapter
from finetune.folders import weights
from finetune.llama.config import LlamaConfig
from finetune.llama.model import Llama
from finetune.recipe import AdapterSection

# What PEFT puts between the name of a base's tensor and where it is.
WRAPPERS = (".base_layer", ".original_module", ".modules_to_save.default")


def base_name(name: str) -> str:
    """The name of a tensor in the base's files, of a parameter that an adapter may have wrapped."""
    for wrapper in WRAPPERS:
        name = name.replace(wrapper, "")
    return name


@torch.no_grad()
def fill_module(module: nn.Module, prefix: str, source: weights.CheckedTensors, device: str) -> None:
    """Allocate a module without storage, or whose weights are cut over processes, and read it.

    Args:
        module: of a model that `weights.load_without_storage` made.
        prefix: its name in the model with a dot behind, empty for the model itself.
        source: the base.
        device: where its weights go.
    """
    module.to_empty(device=device)
    for name, weight in module.named_parameters():
        tensor = base_name(prefix + name)
        if tensor in source:
            weights.copy_whole(source.read(tensor), weight)


@torch.no_grad()
def start_adapter(module: nn.Module) -> None:
    """Give adapters without values those that PEFT would: drawn in the same order, so the same in every layout.

    The second matrix is drawn, too, before it becomes 0; a DoRA's lengths are those of the base's rows.
    """
    for layer in adapted_layers(module):
        down, up = (matrices["default"].weight for matrices in (layer.lora_A, layer.lora_B))
        first = nn.Linear(layer.in_features, down.shape[0], bias=False)
        nn.Linear(down.shape[0], layer.out_features, bias=False)
        nn.init.kaiming_uniform_(first.weight, a=math.sqrt(5))
        weights.copy_whole(first.weight.detach(), down)
        up.zero_()
        if "default" in layer.lora_magnitude_vector:
            length = layer.lora_magnitude_vector["default"].weight
            length.copy_(torch.linalg.norm(layer.base_layer.weight.float(), dim=1))


def adapted_layers(module: nn.Module) -> Iterator[Any]:
    """The layers that have an adapter, in order."""
    from peft.tuners.lora.layer import LoraLayer

    return (layer for layer in module.modules() if isinstance(layer, LoraLayer))


def fill_cut_model(model: Llama, path: str, device: str, seed: int) -> None:
    """Allocate and read a model, perhaps with an adapter, whose weights have no storage and are cut over processes.

    Args:
        model: from `weights.load_without_storage`.
        path: folder of the base.
        device: where the parts go.
        seed: of the random start of the adapter, and of a score layer that the base lacks.
    """
    source = weights.CheckedTensors(path, model.config, seed)
    fill_module(model, "", source, device)
    if model.config.tie_word_embeddings:
        model.lm_head.weight = model.model.embed_tokens.weight
    torch.manual_seed(seed)
    start_adapter(model)


def load_in_parts(
    path: str,
    dtype: torch.dtype,
    adapter: AdapterSection,
    seed: int,
    settings: dict[str, Any],
    config: LlamaConfig | None = None,
) -> tuple[nn.Module, Llama]:
    """A model for DeepSpeed's ZeRO-3, each layer cut over the processes as soon as it is read.

    Args:
        path: folder of the base.
        dtype: of all weights.
        adapter: the recipe's section; its kind may be `none`.
        seed: of the random start of the adapter, and of a score layer that the base lacks.
        settings: DeepSpeed's configuration.
        config: as for `weights.load_model`.

    Returns:
        What is trained, and the LLaMA in it.
    """
    from deepspeed import zero

    unwrapped = weights.load_without_storage(path, dtype, config)
    model = add_adapter(unwrapped, adapter, path, seed) if adapter.kind != "none" else unwrapped
    model = model.to(dtype)
    source = weights.CheckedTensors(path, unwrapped.config, seed)
    torch.manual_seed(seed)
    zero_settings = {"train_micro_batch_size_per_gpu": 1, "zero_optimization": settings["zero_optimization"]}
    parts: list[tuple[str, nn.Module]] = [("model.embed_tokens.", unwrapped.model.embed_tokens)]
    parts += [(f"model.layers.{number}.", layer) for number, layer in enumerate(unwrapped.model.layers)]
    parts += [("model.norm.", unwrapped.model.norm), (f"{unwrapped.output_name}.", unwrapped.output)]
    for prefix, part in parts:
        if prefix == "lm_head." and unwrapped.config.tie_word_embeddings:
            unwrapped.lm_head.weight = unwrapped.model.embed_tokens.weight
            continue
        fill_module(part, prefix, source, "cpu")
        start_adapter(part)
        zero.Init(module=part, config_dict_or_path=zero_settings, dtype=dtype)
    return model, unwrapped


def load_quantised(path: str, dtype: torch.dtype, targets: tuple[str, ...], device: str) -> Llama:
    """A model whose linear layers are 4-bit NF4 with quantised constants (Dettmers et al. 2023, section 3).

    Each matrix is quantised as soon as it is read, so the model is never in memory in 16 bits.

    On processors with bfloat16 units, bitsandbytes would lay the weights out anew at the first forward pass in
    evaluation mode, for a product that has no gradient and takes only multiples of 32 and 64: that is switched off.

    Args:
        path: folder of the base.
        dtype: of what stays unquantised.
        targets: names of the linear layers that are quantised.
        device: where it goes.
    """
    from bitsandbytes.nn import Linear4bit, Params4bit

    model = weights.load_without_storage(path, dtype)
    source = weights.CheckedTensors(path, model.config)
    for name, module in list(model.named_modules()):
        owner, _, own = name.rpartition(".")
        if own not in targets or not isinstance(module, nn.Linear):
            continue
        small = Linear4bit(
            module.in_features,
            module.out_features,
            bias=module.bias is not None,
            compute_dtype=torch.bfloat16,
            compress_statistics=True,
            quant_type="nf4",
            device="meta",
        )
        values = source.read(f"{name}.weight").to(torch.bfloat16).clone()
        small.weight = Params4bit(values, requires_grad=False, quant_type="nf4", compress_statistics=True)
        if module.bias is not None:
            small.bias = nn.Parameter(source.read(f"{name}.bias").to(dtype).clone())
        small.support_avx512bf16_for_cpu = False
        setattr(model.get_submodule(owner), own, small.to(device))
    _fill_rest(model, source, dtype, device)
    model.is_loaded_in_4bit = True  # type: ignore[assignment]  # what peft goes by
    return model


def _fill_rest(model: Llama, source: weights.CheckedTensors, dtype: torch.dtype, device: str) -> None:
    """Read what has no storage yet."""
    for name, weight in list(model.named_parameters()):
        if weight.is_meta:
            owner, _, own = name.rpartition(".")
            values: Tensor = source.read(name).to(device=device, dtype=dtype, copy=True)
            setattr(model.get_submodule(owner), own, nn.Parameter(values))
    if model.config.tie_word_embeddings:
        model.lm_head.weight = model.model.embed_tokens.weight
