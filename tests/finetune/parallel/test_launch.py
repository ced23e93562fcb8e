"""Processes that would talk in another way than planned are refused."""

from types import SimpleNamespace

import pytest
import torch
from torch import distributed

from camelid.errors import UserError
from finetune.parallel.launch import _check_world


def test_another_backend_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes on CPUs that would talk through MPI."""
    accelerator = SimpleNamespace(num_processes=2, device=torch.device("cpu"))
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(distributed, "get_backend", lambda: "mpi")
    with pytest.raises(UserError, match="talk through 'mpi' on cpu; expected 'gloo'"):
        _check_world(accelerator, 2)  # type: ignore[arg-type]
