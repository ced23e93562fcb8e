"""Adapters: LoRA and its relatives through `peft`, on the native module as it is."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from camelid.files.write import give_usual_mode
from finetune.llama.model import Llama, LlamaDecoderLayer
from finetune.recipe import AdapterSection


def add_adapter(model: Llama, adapter: AdapterSection, base: str, seed: int) -> nn.Module:
    """Freeze the model and give its linear layers trainable low-rank matrices, in float32; whole layers as they are.

    Args:
        model: is changed in place.
        adapter: the recipe's section; its kind is not `none`.
        base: the folder the model came from, recorded in the adapter's configuration.
        seed: of the matrices' random start.
    """
    from peft import LoraConfig, PeftModel

    if adapter.kind == "qlora":
        quantise(model, adapter.targets)
    torch.manual_seed(seed)
    tied = model.config.tie_word_embeddings
    config = LoraConfig(
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        lora_dropout=adapter.dropout,
        target_modules=list(adapter.targets),
        use_dora=adapter.kind == "dora",
        use_rslora=adapter.kind == "rslora",
        modules_to_save=(["embed_tokens"] if tied else list(adapter.also)) if adapter.also else None,
        ensure_weight_tying=tied and bool(adapter.also),
        base_model_name_or_path=base,
        task_type="CAUSAL_LM",
    )
    wrapped: nn.Module = PeftModel(model, config)
    return wrapped


def widen_trained(model: nn.Module) -> None:
    """Hold what is trained in float32, in place; the layers that an adapter trains whole are copies of the base's."""
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()


def quantise(model: Llama, targets: tuple[str, ...]) -> None:
    """Replace linear layers by 4-bit NF4 ones with quantised constants (Dettmers et al. 2023, section 3), in place.

    On processors with bfloat16 units, bitsandbytes would lay the weights out anew at the first forward pass in
    evaluation mode, for a product that has no gradient and takes only multiples of 32 and 64: that is switched off.
    """
    from bitsandbytes.nn import Linear4bit, Params4bit

    device = model.lm_head.weight.device
    layers = [layer for layer in model.model.layers if isinstance(layer, LlamaDecoderLayer)]
    for layer in layers:
        for block in (layer.self_attn, layer.mlp):
            for name, linear in list(block.named_children()):
                if name not in targets:
                    continue
                small = Linear4bit(
                    linear.in_features,
                    linear.out_features,
                    bias=linear.bias is not None,
                    compute_dtype=torch.bfloat16,
                    compress_statistics=True,
                    quant_type="nf4",
                )
                values = linear.weight.data.to("cpu", torch.bfloat16)
                small.weight = Params4bit(values, requires_grad=False, quant_type="nf4", compress_statistics=True)
                small.bias = linear.bias
                small.support_avx512bf16_for_cpu = False
                setattr(block, name, small.to(device))
    model.is_loaded_in_4bit = True  # type: ignore[assignment]  # what peft goes by


def save_adapter(model: nn.Module, state: dict[str, Any], folder: Path) -> None:
    """Write a PEFT folder (`adapter_config.json`, `adapter_model.safetensors`).

    Args:
        model: the PEFT model.
        state: its whole state dict, or the trained part of it.
        folder: is made.
    """
    model.save_pretrained(str(folder), state_dict=state, save_embedding_layers=False)  # type: ignore[operator]
    for path in folder.glob("*.safetensors"):
        give_usual_mode(path)
