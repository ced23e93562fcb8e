"""The operator against SDPA one piece at a time, with its gradients, and as the compiler sees it."""

from typing import Any

import pytest
import torch

from finetune.llama import attention as module
from finetune.llama.attention import Documents
from finetune.llama.packed_attention import packed_attention

LAYOUTS = {
    "plain": Documents.from_lengths([5, 1, 33, 16]),
    "padded": Documents.from_lengths([5, 1, 33, 16]).padded(9, 64),
    "window": Documents.from_lengths([5, 1, 33, 16], window=6),
    "prompts": Documents.from_prompts([(10, [9, 1, 7, 3]), (8, []), (3, [20, 21])]),
    "prompts, window, padded": Documents.from_prompts([(10, [9, 1, 7]), (8, [])], window=6).padded(9, 64, 128),
}


def inputs(documents: Documents, kv_heads: int) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    tokens = sum(documents.lengths)
    shapes = [(tokens, heads, 8) for heads in (4, kv_heads, kv_heads)]
    return tuple(torch.randn(shape, dtype=torch.float64, generator=generator).requires_grad_() for shape in shapes)


@pytest.mark.parametrize("kv_heads", [4, 2, 1])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_operator_equals_sdpa_of_each_piece(layout: str, kv_heads: int) -> None:
    documents, qkv = LAYOUTS[layout], inputs(LAYOUTS[layout], kv_heads)
    results: list[list[Any]] = []
    for kernel in (module._packed, module._per_piece):
        out = kernel(*qkv, documents)
        results.append([out, *torch.autograd.grad(out.square().sum(), qkv)])
    for mine, truth in zip(*results, strict=True):
        torch.testing.assert_close(mine, truth, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("window", [-1, 6])
def test_compilers_view_of_the_operator_is_right(window: int) -> None:
    documents = LAYOUTS["plain"]
    starts = documents.starts
    torch.library.opcheck(packed_attention, (*inputs(documents, 2), starts, starts, documents.longest, window))
