"""The packed CUDA kernels against plain attention, one document at a time."""

import importlib.util

import pytest
import torch

from finetune.llama import attention as module
from finetune.llama.attention import Documents

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
LENGTHS = [5, 1, 130, 64]


@pytest.mark.parametrize("kernel", ["_flash", "_varlen"])
@pytest.mark.parametrize("kv_heads", [8, 2, 1])
def test_kernel_equals_plain_attention(kernel: str, kv_heads: int) -> None:
    if kernel == "_flash" and not importlib.util.find_spec("flash_attn"):
        pytest.skip("flash-attn is not installed")
    if kernel == "_varlen" and not importlib.util.find_spec("torch.nn.attention.varlen"):
        pytest.skip("this PyTorch has no varlen_attn")
    generator = torch.Generator("cuda").manual_seed(0)
    documents = Documents.from_lengths(LENGTHS, "cuda")
    q, k, v = (
        torch.randn(sum(LENGTHS), heads, 64, device="cuda", generator=generator).bfloat16().requires_grad_()
        for heads in (8, kv_heads, kv_heads)
    )
    out = getattr(module, kernel)(q, k, v, documents)
    gradients = torch.autograd.grad(out.float().square().sum(), (q, k, v))
    wide = [x.detach().float().requires_grad_() for x in (q, k, v)]
    truth = module._per_document(wide[0], wide[1], wide[2], documents)
    truths = torch.autograd.grad(truth.square().sum(), wide)
    for mine, exact in zip((out, *gradients), (truth, *truths), strict=True):
        assert (mine.float() - exact).norm() <= 2e-2 * exact.norm()
