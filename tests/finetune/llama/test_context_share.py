"""Documents cut over processes: every token once, as many on each, as much attention on each."""

import numpy as np
import pytest
import torch

from finetune.llama.attention import Documents, attention
from finetune.llama.context_share import cut_documents
from finetune.llama.gathered_keys import GatheredKeys


@pytest.mark.parametrize("size", [2, 3, 8])
@pytest.mark.parametrize("seed", range(5))
def test_every_token_once_and_as_many_on_each(size: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    lengths = random.integers(1, 40, 30).tolist()
    lengths.append(size - sum(lengths) % size)
    pieces = cut_documents(lengths, size)
    tokens = [np.concatenate([np.arange(start, end) for _, start, end in own]) for own in pieces]
    assert {len(each) for each in tokens} == {sum(lengths) // size}
    assert np.array_equal(np.sort(np.concatenate(tokens)), np.arange(sum(lengths)))
    begins = np.cumsum([0, *lengths])
    for document, start, end in (piece for own in pieces for piece in own):
        assert document in begins and start < end <= begins[np.searchsorted(begins, document) + 1]


def test_attention_costs_each_about_as_much() -> None:
    lengths = [4000, 900, 3000, 150]
    looked = [
        sum(sum(range(start - document + 1, end - document + 1)) for document, start, end in own)
        for own in cut_documents(lengths, 4)
    ]
    assert max(looked) <= 1.01 * min(looked)


@pytest.mark.parametrize("window", [None, 5])
def test_pieces_see_what_they_saw_in_the_whole(monkeypatch: pytest.MonkeyPatch, window: int | None) -> None:
    """Two processes, one after the other: what they would gather is put there."""
    from finetune.llama import attention as module
    from finetune.llama.context_share import ContextShare

    lengths, heads, generator = [7, 13, 1, 5, 2], 4, torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(28, n, 8, generator=generator) for n in (heads, 2, 2))
    whole = attention(q, k, v, Documents.from_lengths(lengths, window=window))
    shares = [ContextShare(None, rank, 2) for rank in range(2)]  # type: ignore[arg-type]
    assert [share.filler(28) for share in shares] == [[], []] and shares[0].filler(27) == [1]
    cuts = [share.cut(lengths, torch.device("cpu"), window) for share in shares]
    order = np.concatenate([own for own, _ in cuts])

    def gather(_: torch.Tensor, __: torch.Tensor, gathered: GatheredKeys) -> tuple[torch.Tensor, torch.Tensor]:
        return k[order][gathered.places], v[order][gathered.places]

    monkeypatch.setattr(module, "gather_keys", gather)
    for own, documents in cuts:
        out = attention(q[own], k[own], v[own], documents)
        torch.testing.assert_close(out, whole[own], rtol=1e-5, atol=1e-6)
