"""What a run ends with: both models and their optimizers, whatever layout wrote them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

from finetune.engine.checkpoint import all_checkpoints


def final_state(recipe: dict[str, Any]) -> dict[str, Any]:
    """Of the newest checkpoint: `model` and `optimizer` of the policy, the same in `critic`, and `ppo`."""
    folder = Path(recipe["run"]["output"])
    last = all_checkpoints(folder / "checkpoints")[-1]
    assert int(last.name[-8:]) == recipe["optim"]["updates"]
    dcp_to_torch_save(last, folder / "state.pt")
    state: dict[str, Any] = torch.load(folder / "state.pt")
    return state | {"ppo": (last / "ppo.json").read_text()}


def assert_same_models(ours: dict[str, Any], truth: dict[str, Any]) -> None:
    """The final weights of the policy, and of the critic if there is one, to 1e-5."""
    mine, theirs = final_state(ours), final_state(truth)
    assert ("critic" in mine) == ("critic" in theirs) == (truth["ppo"].get("advantage", "critic") == "critic")
    assert_near(mine["model"], theirs["model"], "policy")
    if "critic" in theirs:
        assert_near(mine["critic"]["model"], theirs["critic"]["model"], "critic")


def assert_near(ours: Any, theirs: Any, where: str) -> None:
    """Equal, numbers to 1e-5."""
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys() and theirs, where
        for name in theirs:
            assert_near(ours[name], theirs[name], f"{where}.{name}")
    elif isinstance(theirs, list | tuple):
        for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            assert_near(one, other, f"{where}[{number}]")
    elif isinstance(theirs, torch.Tensor):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5, msg=lambda said: f"{where}: {said}")
    elif isinstance(theirs, float):
        assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-5), where
    else:
        assert ours == theirs, where
