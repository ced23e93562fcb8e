"""A run that is rewound and leaves updates out is, to the last bit, the run that never had them."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from camelid.app.cli import main
from finetune.engine.schedule import learning_rate
from finetune.engine.update import run_update
from tests.finetune.runs import metrics, run, tensors, variant, write

UPDATES = 12


@pytest.fixture
def recipe(toy_recipe: dict[str, Any]) -> dict[str, Any]:
    return variant(
        toy_recipe, "base", optim__updates=UPDATES, run__checkpoint_every=3, run__keep_checkpoints=9, optim__lr=3e-3
    )


def rewind(recipe: dict[str, Any], *arguments: str) -> int:
    return main(["finetune", str(write(recipe)), "--quiet", *arguments])


def never_had(recipe: dict[str, Any], updates: list[int]) -> dict[str, torch.Tensor]:
    """The weights after these updates and no others, made one after the other without the loop of a run."""
    from accelerate import Accelerator
    from transformers import AutoTokenizer

    from camelid.config import from_tree
    from finetune.data.batches import Plan
    from finetune.data.token_data import load_tokens
    from finetune.engine.make_worker import make_worker
    from finetune.objectives.next_token import NextToken
    from finetune.parallel.patience import Patience
    from finetune.recipe import SftRecipe

    whole = from_tree(SftRecipe, recipe, "recipe")
    tokenizer = AutoTokenizer.from_pretrained(whole.model.path)
    data = load_tokens(Path(whole.run.output) / "tokens", whole.data, tokenizer, whole.run.seed)
    plan = Plan(data, whole.data, whole.optim, whole.run.seed)
    worker = make_worker(Accelerator(cpu=True), "none", whole, Patience())
    rate = partial(learning_rate, updates=UPDATES, peak=whole.optim.lr, warmup_ratio=whole.optim.warmup_ratio)
    for update in updates:
        run_update(worker, plan, update, rate(update, shape="cosine"), NextToken(), lambda: False, lambda: None)
    return {name: weight.detach() for name, weight in worker.unwrapped.named_parameters()}


def assert_never_had(recipe: dict[str, Any], without: range) -> None:
    kept = [update for update in range(UPDATES) if update not in without]
    expected = never_had(recipe, kept)
    for name, tensor in tensors(recipe).items():
        assert torch.equal(tensor, expected[name]), name
    assert [record["update"] for record in metrics(recipe)] == [update + 1 for update in kept]


def test_rewound_and_skipped_is_a_run_that_never_had_them(
    recipe: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Back from the end to update 7, over the checkpoint of update 6, without updates 8 to 10."""
    folder = Path(recipe["run"]["output"])
    assert run(recipe) == 0
    before = metrics(recipe)
    first = load_file(folder / "model" / "model.safetensors")
    assert rewind(recipe, "--rewind", "5", "--skip", "3") == 0
    assert "taken back from update 12 to 7, goes on without updates 8 to 10" in capsys.readouterr().out
    assert_never_had(recipe, range(7, 10))
    assert [record["loss"] for record in metrics(recipe)[:7]] == [record["loss"] for record in before[:7]]
    assert any(not torch.equal(first[name], tensor) for name, tensor in tensors(recipe).items())
    lines = [json.loads(line) for line in (folder / "rewinds.jsonl").read_text().splitlines()]
    assert lines == [{"stood_at": 12, "went_to": 7, "skip": 3}]
    taken = [json.loads(line) for line in (folder / "metrics-rewound-1.jsonl").read_text().splitlines()]
    assert taken == before[7:]
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["updates"] == 9 and summary["left_out_updates"] == 3
    assert run(recipe) == 0 and "has already finished" in capsys.readouterr().out


@pytest.mark.slow
def test_the_last_updates_may_be_left_out(recipe: dict[str, Any]) -> None:
    assert run(recipe) == 0
    assert rewind(recipe, "--rewind", "2", "--skip", "9") == 0
    assert_never_had(recipe, range(10, UPDATES))


def test_what_cannot_be_rewound_is_one_line(recipe: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    few = variant(recipe, "few", run__keep_checkpoints=1)
    assert rewind(few, "--rewind", "3") == 2
    assert "no run here that has made an update" in capsys.readouterr().err
    assert run(few) == 0
    for arguments, message in (
        (("--rewind", "3"), "no checkpoint is left of update 9 or before (kept are those of updates 12)"),
        (("--rewind", "20"), "stands at update 12, and no checkpoint is left of update -8"),
        (("--rewind", "0"), "rewind by at least 1 update"),
        (("--skip", "3"), "goes with --rewind N"),
    ):
        assert rewind(few, *arguments) == 2
        assert message in capsys.readouterr().err
    few["optim"]["lr"] = 1.0
    assert rewind(few, "--rewind", "12") == 2
    assert "differs in optim.lr" in capsys.readouterr().err
    assert len(metrics(few)) == UPDATES
