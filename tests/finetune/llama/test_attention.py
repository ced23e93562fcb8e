"""Packed documents do not see each other."""

import torch

from finetune.folders import weights
from tests.finetune.llama.packed_documents import BASE, packed, random_documents


def test_documents_do_not_see_each_other() -> None:
    model = weights.init_model(BASE, seed=1)
    documents = random_documents()
    with torch.no_grad():
        before = packed(model, documents)
        documents[0] = (documents[0] + 1) % BASE.vocab_size
        after = packed(model, documents)
    assert not torch.equal(before[:7], after[:7])
    torch.testing.assert_close(before[7:], after[7:], atol=0, rtol=0)
