"""Weights of linear layers in 8 or 4 bits, for models that would not fit otherwise."""

import importlib.util
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from camelid.errors import UserError
from finetune.engine.load import load_quantised
from finetune.folders.open_folder import open_weights
from finetune.llama.model import Llama

Bits = Literal[8, 4]
LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def open_quantised(folder: Path, bits: Bits) -> Llama:
    """A model with the linear layers of its blocks quantised by bitsandbytes.

    4 bits are NF4 (Dettmers et al. 2023, section 3), quantised matrix by matrix as they are read. 8 bits are LLM.int8
    (Dettmers et al. 2022), made of the whole model in 16 bits, 32 on a CPU.

    Args:
        folder: of the model.
        bits: 8 or 4.

    Raises:
        UserError: bitsandbytes is not installed.
    """
    if importlib.util.find_spec("bitsandbytes") is None:
        raise UserError(f"--bits {bits}: bitsandbytes is not installed; run: pip install 'camelid[quant]'")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if bits == 4:
        dtype = torch.bfloat16 if device == "cuda" else torch.float32
        return load_quantised(str(folder), dtype, LINEAR, device).eval()
    model = open_weights(folder)
    for name, layer in list(model.named_modules()):
        owner, _, own = name.rpartition(".")
        if own in LINEAR and isinstance(layer, nn.Linear):
            setattr(model.get_submodule(owner), own, _in_8_bits(layer).to(device))
    return model


def _in_8_bits(layer: nn.Linear) -> nn.Linear:
    from bitsandbytes.nn import Int8Params, Linear8bitLt

    small: nn.Linear = Linear8bitLt(
        layer.in_features, layer.out_features, bias=layer.bias is not None, has_fp16_weights=False, device="meta"
    )
    small.weight = Int8Params(layer.weight.data, requires_grad=False, has_fp16_weights=False)
    small.bias = layer.bias
    return small
