"""Adapters: LoRA and its relatives through `peft`, on the native module as it is."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from camelid.files.write import give_usual_mode
from finetune.llama.model import Llama
from finetune.recipe import AdapterSection


def add_adapter(model: Llama, adapter: AdapterSection, base: str, seed: int, widen: bool = True) -> nn.Module:
    """Freeze the model and give its linear layers trainable low-rank matrices, in float32.

    Args:
        model: is changed in place; of one without storage the adapter has none either.
        adapter: the recipe's section; its kind is not `none`.
        base: the folder the model came from, recorded in the adapter's configuration.
        seed: of the matrices' random start.
        widen: whether layers that are trained whole are held in float32, too, not in the base's precision.
    """
    from peft import LoraConfig, PeftModel

    empty = model.output.weight.is_meta
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
    wrapped: nn.Module = PeftModel(model, config, low_cpu_mem_usage=empty)
    for weight in wrapped.parameters():
        if weight.requires_grad and widen:
            weight.data = weight.data.float()
    return wrapped


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
