"""Matrix products in 8 bits, through torchao (Micikevicius et al. 2022, "FP8 formats for deep learning")."""

from dataclasses import replace

import torch
from torch import nn

from camelid.errors import UserError
from finetune.llama.model import Llama

FIRST = (9, 0)  # of NVIDIA's compute capabilities, Hopper, whose products of rows with a scale each torch has
MULTIPLE = 16  # of both sides of a matrix (`torch._scaled_mm`)


def use_float8(model: Llama, device: torch.device) -> None:
    """Let the linear layers of a model's layers multiply in 8 bits, forwards and backwards, in place.

    Weights stay as they are and have their names. Each row has a scale of its own, found as it is multiplied (torchao's
    recipe `rowwise`). The output layer stays as it is, and so do matrices whose sides the kernel does not take.

    Args:
        model: whole, or without storage.
        device: where it computes; on a CPU 8 bits are emulated, which is slow and for tests.

    Raises:
        UserError: the GPU has no 8-bit units.
    """
    if device.type == "cuda" and torch.cuda.get_device_capability(device) < FIRST:
        name = torch.cuda.get_device_name(device)
        raise UserError(f"run.precision = 'fp8' wants an H100 or newer, not {name}; use bf16-pure")
    from torchao.float8 import Float8LinearConfig, convert_to_float8_training

    config = Float8LinearConfig.from_recipe_name("rowwise")
    # Tokens are no multiple of 16 where sequences are not filled up; where they are, nothing is padded.
    config = replace(config, emulate=device.type != "cuda", pad_inner_dim=True)

    def fits(module: nn.Module, name: str) -> bool:
        return isinstance(module, nn.Linear) and not any(side % MULTIPLE for side in module.weight.shape)

    convert_to_float8_training(model.model.layers, config=config, module_filter_fn=fits)
