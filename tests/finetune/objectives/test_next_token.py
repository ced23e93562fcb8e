"""The chunked loss against torch's cross-entropy on full logits."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from finetune.objectives import next_token as loss_module
from finetune.objectives.next_token import token_loss


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize(("chunk", "passes"), [(1, None), (7, None), (2048, None), (2048, 1), (2048, 4)])
def test_value_and_gradients_equal_full_logits(
    chunk: int, passes: int | None, smoothing: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss_module, "CHUNK", chunk)
    torch.manual_seed(0)
    hidden = torch.randn(50, 16, dtype=torch.float64, requires_grad=True)
    lm_head = nn.Linear(16, 31, bias=False, dtype=torch.float64)
    positions = torch.tensor([0, 3, 4, 9, 20, 21, 22, 40, 48])
    targets = torch.randint(0, 31, (9,))
    weights = torch.rand(9)
    ours = token_loss(hidden, lm_head, positions, targets, weights, smoothing, passes)
    ours.backward()
    assert hidden.grad is not None and lm_head.weight.grad is not None
    grads = hidden.grad.clone(), lm_head.weight.grad.clone()
    hidden.grad = lm_head.weight.grad = None
    losses = cross_entropy(lm_head(hidden)[positions], targets, reduction="none", label_smoothing=smoothing)
    truth = (losses * weights).sum()
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


@pytest.mark.parametrize("trained", [0, 3])
def test_output_layer_is_called_as_often_as_asked(trained: int) -> None:
    """Each call gathers its weight under ZeRO-3, so every process must make as many, whatever it trains."""
    calls = []
    lm_head = nn.Linear(4, 5, bias=True)  # a bias keeps it out of the fused loss, as a sharded weight would
    lm_head.register_forward_hook(lambda *args: calls.append(1))
    hidden = torch.randn(8, 4, requires_grad=True)
    some = torch.arange(trained)
    value = token_loss(hidden, lm_head, some, some, torch.ones(trained), passes=3)
    assert len(calls) == 3
    value.backward()
    assert len(calls) == 6  # and again in the backward pass, which makes the logits anew
    truth = cross_entropy(lm_head(hidden)[some], some, reduction="sum")
    torch.testing.assert_close(value, truth)
