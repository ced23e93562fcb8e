"""Weights in 8 or 4 bits: small, near the whole ones, and served like them."""

from pathlib import Path
from typing import Literal

import openai
import pytest
import torch
from torch import nn

from finetune.folders.open_folder import open_weights
from finetune.generate.decode import generate
from finetune.generate.sampling import Sampling
from finetune.serve.served import open_served
from tests.finetune.serve.serving import serving


def weight_of(layer: nn.Module) -> torch.Tensor:
    """What a quantised layer multiplies by, by bitsandbytes' own way back."""
    from bitsandbytes import functional

    weight = layer.weight
    if hasattr(weight, "quant_state") and weight.quant_state is not None:
        return functional.dequantize_4bit(weight.data, weight.quant_state).float()
    scale = weight.SCB if weight.SCB is not None else layer.state.SCB
    return weight.data.float() * scale[:, None] / 127


# The constants of 4 bits are quantised, too, which is coarse where there are as few as here.
@pytest.mark.parametrize(("bits", "share", "error"), [(8, 0.26, 0.01), (4, 0.15, 0.3)])
def test_a_model_in_fewer_bits(
    lively_model: Path, tmp_path: Path, bits: Literal[8, 4], share: float, error: float
) -> None:
    pytest.importorskip("bitsandbytes")
    small, whole = open_served(lively_model, "small", bits=bits), open_weights(lively_model)
    x = torch.randn(9, 32, generator=torch.Generator().manual_seed(0))
    for layer, full in zip(small.model.model.layers, whole.model.layers, strict=True):
        near, weight = layer.mlp.up_proj, full.mlp.up_proj.weight.detach()
        assert near.weight.nbytes <= share * weight.nbytes
        assert 0 < float((weight_of(near) - weight).norm() / weight.norm()) < error
        truth = x @ weight_of(near).T
        assert float((near(x) - truth).norm() / truth.norm()) < 0.02
    sampling = Sampling(20, temperature=0)
    [answer] = generate(small.model, [[5, 9]], [0], small.tokenizer, small.end_ids, sampling)
    with serving([small], tmp_path) as server:
        client = openai.OpenAI(base_url=server.url, api_key="none", max_retries=0)
        reply = client.completions.create(model="small", prompt=[5, 9], temperature=0, max_tokens=20)
    assert reply.choices[0].text == answer.text
