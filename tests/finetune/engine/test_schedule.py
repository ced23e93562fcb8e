"""The learning rate against transformers' schedulers."""

import pytest
import torch
from transformers import get_scheduler

from finetune.engine.schedule import learning_rate


@pytest.mark.parametrize(
    ("shape", "peer"),
    [("cosine", "cosine"), ("linear", "linear"), ("constant", "constant_with_warmup")],
)
@pytest.mark.parametrize("warmup_ratio", [0.0, 0.03, 0.5])
def test_equals_transformers(shape: str, peer: str, warmup_ratio: float) -> None:
    updates = 103
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2e-5)
    warmup = {0.0: 0, 0.03: 4, 0.5: 52}[warmup_ratio]  # ceil(ratio * 103), as the Hugging Face Trainer
    scheduler = get_scheduler(peer, optimizer, num_warmup_steps=warmup, num_training_steps=updates)
    for update in range(updates):
        ours = learning_rate(update, updates, 2e-5, warmup_ratio, shape)  # type: ignore[arg-type]
        assert ours == pytest.approx(scheduler.get_last_lr()[0], rel=1e-12, abs=1e-20)
        optimizer.step()
        scheduler.step()
