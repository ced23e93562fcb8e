"""PPO and RLOO on a GPU."""

from pathlib import Path

import pytest
import torch

from tests.finetune.ppo.world import recipe_of
from tests.finetune.runs import metrics, run

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(("advantage", "answers"), [("critic", 1), ("leave-one-out", 4)])
def test_the_reward_rises_on_a_gpu(
    advantage: str, answers: int, precision: str, world: dict[str, Path], tmp_path: Path
) -> None:
    """What was sampled has the log-probabilities that training finds, or the run would have stopped."""
    recipe = recipe_of(world, tmp_path / "run", advantage=advantage, answers=answers)
    recipe["optim"]["updates"], recipe["run"]["precision"] = 40, precision
    assert run(recipe) == 0
    rewards = [line["reward"] for line in metrics(recipe) if "reward" in line]
    assert sum(rewards[-3:]) / 3 > rewards[0]
