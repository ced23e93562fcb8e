"""The chunked loss against torch's cross-entropy on full logits."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from finetune import loss as loss_module
from finetune.loss import token_loss


@pytest.mark.parametrize("chunk", [1, 7, 2048])
def test_value_and_gradients_equal_full_logits(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss_module, "CHUNK", chunk)
    torch.manual_seed(0)
    hidden = torch.randn(50, 16, dtype=torch.float64, requires_grad=True)
    lm_head = nn.Linear(16, 31, bias=False, dtype=torch.float64)
    positions = torch.tensor([0, 3, 4, 9, 20, 21, 22, 40, 48])
    targets = torch.randint(0, 31, (9,))
    weights = torch.rand(9)
    ours = token_loss(hidden, lm_head, positions, targets, weights)
    ours.backward()
    assert hidden.grad is not None and lm_head.weight.grad is not None
    grads = hidden.grad.clone(), lm_head.weight.grad.clone()
    hidden.grad = lm_head.weight.grad = None
    truth = (cross_entropy(lm_head(hidden)[positions], targets, reduction="none") * weights).sum()
    truth.backward()
    torch.testing.assert_close(ours.double(), truth, rtol=1e-6, atol=0)
    # Logits are float32 on purpose, so gradients agree to float32.
    torch.testing.assert_close(grads[0], hidden.grad, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(grads[1], lm_head.weight.grad, rtol=1e-4, atol=1e-6)


def test_nothing_to_train_still_reaches_every_parameter() -> None:
    hidden = torch.randn(3, 4, requires_grad=True)
    lm_head = nn.Linear(4, 5, bias=False)
    empty = torch.zeros(0, dtype=torch.long)
    value = token_loss(hidden, lm_head, empty, empty, torch.zeros(0))
    value.backward()
    assert value.item() == 0.0
    assert lm_head.weight.grad is not None and not lm_head.weight.grad.any()
    assert hidden.grad is not None and not hidden.grad.any()
