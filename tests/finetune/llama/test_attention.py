"""What every token sees, value and gradient, against masked attention in float64; the CUDA kernels' arguments, too."""

import dataclasses
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from camelid.errors import UserError
from finetune.folders import weights
from finetune.llama import attention as module
from finetune.llama.attention import Documents, attention
from finetune.llama.config import LlamaConfig
from tests.finetune.llama.packed_documents import BASE, packed, random_documents

Prompts = Sequence[tuple[int, Sequence[int]]]
CONFIG = LlamaConfig(101, 48, 80, 2, 4, 2, initializer_range=0.2)


def seen_by(prompts: Prompts, window: int | None) -> tuple[Tensor, list[int]]:
    """The (T, T) mask and the positions, token by token from what a prompt with its answers means."""
    tokens = []  # document, answer (None: of the prompt), position
    for number, (prompt, answers) in enumerate(prompts):
        tokens += [(number, None, at) for at in range(prompt)]
        tokens += [(number, index, prompt + at) for index, length in enumerate(answers) for at in range(length)]
    mask = torch.tensor(
        [
            [
                document == other and branch in (None, mine) and at <= here and (window is None or here - at <= window)
                for other, branch, at in tokens
            ]
            for document, mine, here in tokens
        ]
    )
    return mask, [at for _, _, at in tokens]


def truth(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """softmax(q k / sqrt(d)) v, written out."""
    groups = q.shape[1] // k.shape[1]
    k, v = (x.repeat_interleave(groups, dim=1) for x in (k, v))
    scores = torch.einsum("qhd,khd->hqk", q, k) / q.shape[-1] ** 0.5
    return torch.einsum("hqk,khd->qhd", scores.masked_fill(~mask, float("-inf")).softmax(-1), v)


def varlen(
    q: Tensor, k: Tensor, v: Tensor, starts: Tensor, key_starts: Tensor, most: int, most_keys: int, **how: Any
) -> Tensor:
    """What flash-attn documents of its kernel: lower-right alignment, a window of (left, right) tokens."""
    assert how["causal"] and how["window_size"][1] == 0
    outs = []
    for a, b, c, d in zip(starts, starts[1:], key_starts, key_starts[1:], strict=False):
        rows, columns = torch.arange(int(b - a))[:, None] + int(d - c) - int(b - a), torch.arange(int(d - c))
        assert len(rows) <= most and len(columns) <= most_keys
        mask = columns <= rows
        if how["window_size"][0] >= 0:
            mask &= columns >= rows - how["window_size"][0]
        outs.append(truth(q[a:b], k[c:d], v[c:d], mask))
    return torch.cat(outs)


def flash(q: Tensor, k: Tensor, v: Tensor, documents: Documents) -> Tensor:
    """Our call of flash-attn, with the kernel as its documentation says."""
    library = ModuleType("flash_attn")
    library.flash_attn_varlen_func = varlen  # type: ignore[attr-defined]
    with patch.dict(sys.modules, {"flash_attn": library}):
        return module._flash(q, k, v, documents)


def check(prompts: Prompts, window: int | None, kv_heads: int, dtype: torch.dtype = torch.float64) -> None:
    mask, positions = seen_by(prompts, window)
    documents = Documents.from_prompts(prompts, window=window)
    assert documents.positions().tolist() == positions
    generator = torch.Generator().manual_seed(0)
    sizes = [(len(positions), heads, 8) for heads in (4, kv_heads, kv_heads)]
    wide = [torch.randn(size, dtype=torch.float64, generator=generator).requires_grad_() for size in sizes]
    outward = torch.randn(sizes[0], dtype=torch.float64, generator=generator)
    exact = truth(*wide, mask)
    exacts = (exact, *torch.autograd.grad(exact, wide, outward))
    keys = len(documents.prompts.places) + 7 if documents.prompts else 0
    padded = documents.padded(len(documents.lengths) + 3, documents.longest + 5, keys)
    tolerance = 1e-10 if dtype == torch.float64 else 1e-5
    for attend, layout in ((attention, documents), (attention, padded), (flash, documents), (flash, padded)):
        mine = [x.detach().to(dtype).requires_grad_() for x in wide]
        out = attend(mine[0], mine[1], mine[2], layout)
        for ours, theirs in zip((out, *torch.autograd.grad(out, mine, outward.to(dtype))), exacts, strict=True):
            torch.testing.assert_close(ours.double(), theirs, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("kv_heads", [4, 2, 1])
@pytest.mark.parametrize("window", [None, 0, 1, 3, 50])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_every_layout(kv_heads: int, window: int | None, dtype: torch.dtype) -> None:
    """Plain documents, empty ones, prompts with one to four answers, of one token and longer than the window; several
    of one length in a row, of one prompt and of two."""
    check([(7, []), (0, []), (1, []), (12, [])], window, kv_heads, dtype)
    check([(5, [3, 4]), (6, []), (2, [3]), (0, [2, 2]), (4, [1, 2, 3, 6]), (3, [2, 0, 5])], window, kv_heads, dtype)
    check([(4, []), (4, []), (4, []), (3, [4, 4, 5]), (2, [2, 2]), (2, [2, 2]), (4, [])], window, kv_heads, dtype)


@settings(max_examples=15, deadline=None)
@given(
    prompts=st.lists(st.tuples(st.integers(0, 9), st.lists(st.integers(0, 6), max_size=4)), min_size=1, max_size=5),
    window=st.none() | st.integers(0, 12),
    kv_heads=st.sampled_from([1, 2, 4]),
)
def test_any_layout(prompts: list[tuple[int, list[int]]], window: int | None, kv_heads: int) -> None:
    check([*prompts, (1, [])], window, kv_heads)


def test_shapes_do_not_depend_on_the_batch() -> None:
    first = Documents.from_prompts([(5, [3, 4])]).padded(6, 64, keys=100)
    other = Documents.from_prompts([(2, [1, 1, 1]), (9, [])]).padded(6, 64, keys=100)
    for documents in (first, other):
        assert documents.prompts is not None
        assert documents.starts.shape == documents.prompts.starts.shape == (7,) and documents.longest == 64
        assert documents.starts.dtype == documents.prompts.starts.dtype == torch.int32
        assert documents.prompts.places.shape == (100,)
    assert first.starts.tolist() == [0, 8, 12, 12, 12, 12, 12]
    assert Documents.from_prompts([(5, [3])]).prompts is None  # an answer alone goes on from its prompt
    with pytest.raises(AssertionError):
        Documents.from_lengths([5, 6]).padded(1, 64)
    with pytest.raises(AssertionError):
        Documents.from_lengths([5, 6]).padded(2, 5)


@pytest.mark.parametrize("recompute", ["none", "selective", "full"])
@pytest.mark.parametrize("rope", [None, {"rope_type": "dynamic", "factor": 2.0}])
def test_a_model_reads_a_shared_prompt_once(recompute: Any, rope: dict[str, Any] | None) -> None:
    """Logits and gradients of a prompt with its answers are those of the prompt with each answer alone."""
    model = weights.init_model(dataclasses.replace(CONFIG, rope_scaling=rope), seed=1).double()
    model.set_recompute(recompute)
    prompt, answers = torch.arange(6), [torch.arange(20, 20 + length) for length in (4, 1, 7)]
    alone = [torch.cat([prompt, answer]) for answer in answers]
    apart = Documents.from_lengths([len(ids) for ids in alone])
    logits = model(torch.cat(alone), apart.positions(), apart)
    expected = torch.cat([rows[6:] for rows in logits.split(apart.lengths)])
    names, parameters = zip(*model.named_parameters(), strict=True)
    gradients = torch.autograd.grad(expected.square().sum(), parameters)
    shared = Documents.from_prompts([(6, [4, 1, 7])]).padded(5, 32, keys=64)
    mine = model(torch.cat([prompt, *answers]), shared.positions(), shared)[6:]
    torch.testing.assert_close(mine, expected, atol=1e-6, rtol=1e-6)
    for name, ours, theirs in zip(names, torch.autograd.grad(mine.square().sum(), parameters), gradients, strict=True):
        assert (ours - theirs).norm() <= 1e-6 * theirs.norm(), name  # the norms compute in float32


def test_a_prompt_that_would_be_stretched_twice_is_an_error() -> None:
    """Dynamic scaling turns a prompt's keys by the length of the answer: one prompt can't serve two."""
    dynamic = {"rope_type": "dynamic", "factor": 2.0}
    model = weights.init_model(dataclasses.replace(CONFIG, rope_scaling=dynamic, max_position_embeddings=9), seed=1)
    documents = Documents.from_prompts([(6, [2, 4])])
    with pytest.raises(UserError, match="must end within max_position_embeddings = 9, not at 10; shorten them"):
        model(torch.arange(12), documents.positions(), documents)


def test_documents_do_not_see_each_other() -> None:
    model = weights.init_model(BASE, seed=1)
    documents = random_documents()
    with torch.no_grad():
        before = packed(model, documents)
        documents[0] = (documents[0] + 1) % BASE.vocab_size
        after = packed(model, documents)
    assert not torch.equal(before[:7], after[:7])
    torch.testing.assert_close(before[7:], after[7:], atol=0, rtol=0)
