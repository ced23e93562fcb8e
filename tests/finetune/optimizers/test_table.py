"""One entry of the table is an optimizer: it is planned, refused, documented and trained with."""

from pathlib import Path
from typing import Any

import pytest
import torch

from camelid.app.cli import main
from finetune.optimizers.table import OPTIMIZERS, OptimizerSpec, Stepping
from tests.finetune.runs import metrics, run, variant, write

PARAMETERS = 6_738_415_616  # of llama-7b, as Touvron et al. publish it


def momentum(groups: list[dict[str, Any]], options: dict[str, Any]) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups, lr=options["lr"], momentum=options["betas"][0])


@pytest.fixture
def toy_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A float32 number of each weight, in float32 only."""
    monkeypatch.setitem(OPTIMIZERS, "momentum", OptimizerSpec(Stepping(momentum, 4.0)))


def planned(recipe: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> float:
    """Gigabytes of the optimizer of a LLaMA-7B, as `--plan` prints them."""
    big = variant(recipe, "big", model__path="llama-7b")
    assert main(["finetune", str(write(big)), "--plan"]) == 0
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  optimizer")]
    return float(line.split()[-2])


def test_the_plan_knows_a_new_entrys_bytes(
    toy_recipe: dict[str, Any], toy_entry: None, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = variant(toy_recipe, "ours", optim__optimizer="momentum")
    assert planned(ours, capsys) == pytest.approx(4 * PARAMETERS / 1e9, abs=0.01)
    assert planned(toy_recipe, capsys) == pytest.approx(8 * PARAMETERS / 1e9, abs=0.01)
    pure = variant(toy_recipe, "pure", run__precision="bf16-pure")
    assert planned(pure, capsys) == pytest.approx(4 * PARAMETERS / 1e9, abs=0.01)


def test_a_new_entry_trains(toy_recipe: dict[str, Any], toy_entry: None) -> None:
    ours = variant(toy_recipe, "ours", optim__optimizer="momentum", optim__lr=0.1)
    assert run(ours) == 0
    assert metrics(ours)[-1]["loss"] < metrics(ours)[0]["loss"]
    assert "momentum, peak" in (Path(ours["run"]["output"]) / "model" / "README.md").read_text()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"run__precision": "bf16-pure"}, "'momentum' does not go with run.precision = 'bf16-pure' (it"),
        (
            {"optim__in_backward": True, "optim__clip_norm": 0.0},
            "'momentum' does not go with optim.in_backward = true",
        ),
        ({"optim__optimizer": "momentun"}, "optim.optimizer = 'momentun' is unknown; did you mean 'momentum'?"),
    ],
)
def test_what_an_entry_refuses_is_said_before_anything_starts(
    toy_recipe: dict[str, Any],
    toy_entry: None,
    changes: dict[str, object],
    says: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ours = variant(toy_recipe, "refused", **{"optim__optimizer": "momentum"} | changes)
    for command in (["finetune", str(write(ours))], ["finetune", str(write(ours)), "--plan"]):
        assert main(command) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert says in line
    assert not Path(ours["run"]["output"]).exists()


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("pure", [False, True])
def test_bytes_are_those_that_the_optimizer_keeps(name: str, pure: bool) -> None:
    """Measured on a matrix as large as one of a model's."""
    spec = OPTIMIZERS[name]
    if pure and spec.pure is None:
        pytest.skip("refuses bf16-pure")
    if name.startswith("paged") and not torch.cuda.is_available():
        pytest.skip("paged memory needs CUDA")
    weight = torch.nn.Parameter(torch.zeros(512, 512, dtype=torch.bfloat16 if pure else torch.float32))
    if spec.needs is not None:
        pytest.importorskip(spec.needs)
    stepping = spec.stepping(pure)
    optimizer = stepping.make([{"params": [weight]}], {"lr": 1e-3, "betas": (0.9, 0.99), "eps": 1e-8})
    weight.grad = torch.ones_like(weight)
    optimizer.step()
    kept = sum(value.nbytes for value in optimizer.state[weight].values() if isinstance(value, torch.Tensor))
    assert kept / weight.numel() == pytest.approx(stepping.state_bytes, rel=0.05)
