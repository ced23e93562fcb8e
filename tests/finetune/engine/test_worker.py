"""One process's step: the norm that gradients are clipped by."""

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from finetune.engine.worker import Worker


def test_norm_of_large_gradients_is_that_of_float64() -> None:
    """torch's own norm of this one, added up in float32, is smaller by 2e-4 on a CPU."""
    model = torch.nn.Linear(2048, 2048)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    generator = torch.Generator().manual_seed(0)
    for weight in model.parameters():
        weight.grad = (
            torch.randn(weight.shape, generator=generator) * torch.rand(weight.shape, generator=generator) ** 4
        )
    gradient = np.concatenate([w.grad.double().numpy().ravel() for w in model.parameters() if w.grad is not None])
    before = model.weight.detach().clone()
    worker = Worker(Accelerator(cpu=True), model, None, optimizer, "none", False, 0, 1, 1, clip_norm=1.0)  # type: ignore[arg-type]
    norm, stepped = worker.step()
    assert stepped and norm == pytest.approx(np.linalg.norm(gradient), rel=1e-6)
    moved = (before - model.weight.detach()).double().numpy().ravel()
    np.testing.assert_allclose(moved, gradient[: moved.size] / np.linalg.norm(gradient), atol=1e-7)
