"""The packed CUDA kernels against plain attention, one document at a time."""

import importlib.util
from dataclasses import replace

import pytest
import torch

from finetune.llama import attention as module
from finetune.llama.attention import Documents

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
LAYOUTS = {
    "plain": Documents.from_lengths([5, 1, 130, 64]),
    "padded": Documents.from_lengths([5, 1, 130, 64]).padded(9, 256),
    "window": Documents.from_lengths([5, 1, 130, 64], window=16),
    "prompts": Documents.from_prompts([(40, [9, 1, 70, 30]), (33, []), (3, [64, 65])]),
    "prompts, window, padded": Documents.from_prompts([(40, [9, 1, 70, 30]), (33, [])], window=16).padded(9, 256, 512),
}


def on_gpu(documents: Documents) -> Documents:
    prompts = documents.prompts
    if prompts is not None:
        prompts = replace(prompts, places=prompts.places.cuda(), starts=prompts.starts.cuda())
    return replace(documents, starts=documents.starts.cuda(), prompts=prompts)


@pytest.mark.parametrize("kernel", ["_flash", "_packed"])
@pytest.mark.parametrize("kv_heads", [8, 2, 1])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_kernel_equals_plain_attention(kernel: str, kv_heads: int, layout: str) -> None:
    """With a shared prompt there are fewer queries than keys: the last query must see the last key."""
    if kernel == "_flash" and not importlib.util.find_spec("flash_attn"):
        pytest.skip("flash-attn is not installed")
    generator = torch.Generator("cuda").manual_seed(0)
    documents = on_gpu(LAYOUTS[layout])
    q, k, v = (
        torch.randn(sum(documents.lengths), heads, 64, device="cuda", generator=generator).bfloat16().requires_grad_()
        for heads in (8, kv_heads, kv_heads)
    )
    out = getattr(module, kernel)(q, k, v, documents)
    gradients = torch.autograd.grad(out.float().square().sum(), (q, k, v))
    wide = [x.detach().float().requires_grad_() for x in (q, k, v)]
    truth = module._per_piece(wide[0], wide[1], wide[2], documents)
    truths = torch.autograd.grad(truth.square().sum(), wide)
    for mine, exact in zip((out, *gradients), (truth, *truths), strict=True):
        assert (mine.float() - exact).norm() <= 2e-2 * exact.norm()
