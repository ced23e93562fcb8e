"""A sampler that is not the policy stops the run, however little it differs."""

from pathlib import Path
from typing import Any

import pytest
import torch

from finetune.generate.sampling import Sampling
from finetune.llama.model import Llama
from finetune.ppo import sampler
from finetune.ppo.sampler import NativeSampler
from tests.finetune.conftest import WORDS
from tests.finetune.ppo.world import recipe_of
from tests.finetune.runs import metrics, run


@pytest.fixture
def recipe(lively_model: Path, world: dict[str, Path], tmp_path: Path) -> dict[str, Any]:
    """Two iterations of a model whose answers are lively, so that it matters how they are drawn."""
    (tmp_path / "worth.py").write_text(f"def reward(prompt, answer, meta):\n    return answer.count({WORDS[0]!r})\n")
    ours = recipe_of({**world, "model": lively_model, "worth": tmp_path / "worth.py"}, tmp_path / "run")
    ours["ppo"] |= {"advantage": "leave-one-out", "answers": 4, "batch": 64, "max_new_tokens": 32}
    ours["data"]["max_length"] = 200
    ours["optim"] |= {"global_batch": 32, "updates": 3, "lr": 1e-2}
    return ours


def test_the_policy_itself_passes(recipe: dict[str, Any]) -> None:
    assert run(recipe) == 0
    gaps = [line["sampler_gap"] for line in metrics(recipe) if "sampler_gap" in line]
    assert len(gaps) == 2 and max(gaps) < 1e-5


def test_another_temperature(
    recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """1.05, whose log-probabilities are reported as those of the model: the tokens themselves give it away."""

    def warmer(most: int, temperature: float, top_logprobs: int) -> Sampling:
        return Sampling(most, 1.05 * temperature, top_logprobs=top_logprobs)

    monkeypatch.setattr(sampler, "Sampling", warmer)
    recipe["ppo"]["batch"] = 512
    assert run(recipe) == 2
    assert "as surprising as the policy's probabilities say" in capsys.readouterr().err
    assert not (Path(recipe["run"]["output"]) / "metrics.jsonl").read_text()
    assert not (Path(recipe["run"]["output"]) / "rollouts.jsonl").read_text()


def test_one_stale_weight(
    recipe: dict[str, Any], lively_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A copy that took over all weights but one, after the first iteration's updates."""
    from finetune.folders import weights

    copy: Llama = weights.load_model(lively_model, torch.float32).eval()

    def all_but_one(self: NativeSampler) -> None:
        state = self._worker.unwrapped.state_dict()
        stale = "model.layers.1.mlp.down_proj.weight"
        copy.load_state_dict({name: value for name, value in state.items() if name != stale}, strict=False)
        self._whole = copy

    monkeypatch.setattr(NativeSampler, "refresh", all_but_one)
    assert run(recipe) == 2
    assert "iteration 2: the sampler's log-probabilities are" in capsys.readouterr().err
    assert [line["update"] for line in metrics(recipe)] == [1, 2]
