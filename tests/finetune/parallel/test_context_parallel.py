"""Documents cut over processes train as on one process, in every layout that takes them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from finetune.folders import weights
from finetune.folders.merge import copy_tokenizer
from finetune.llama.config import LlamaConfig
from tests.finetune.parallel.same_run import assert_same
from tests.finetune.runs import deepspeed, launch, run, variant

TWO: dict[str, Any] = {"run__processes": 2, "run__context_parallel": 2}


@pytest.mark.slow
def test_every_way_of_recomputing(recipe: dict[str, Any], reference: dict[str, Any]) -> None:
    ours = [
        variant(recipe, f"{sharding}-{mode}", **TWO, run__sharding=sharding, model__recompute=mode)
        for sharding in ("none", "fsdp2")
        for mode in ("none", "selective", "full")
    ]
    result = launch([*ours, variant(recipe, "micro", **TWO, optim__micro_tokens=384)], 2)
    assert result.returncode == 0, result.stderr[-3000:]
    for each in ours:
        assert_same(each, reference)


@pytest.mark.slow
def test_two_shares_of_the_data_by_two_parts(recipe: dict[str, Any], reference: dict[str, Any]) -> None:
    ours = [
        variant(recipe, f"grid-{sharding}", run__processes=4, run__context_parallel=2, run__sharding=sharding)
        for sharding in ("none", "fsdp2")
    ]
    result = launch(ours, 4)
    assert result.returncode == 0, result.stderr[-3000:]
    for each in ours:
        assert_same(each, reference)


@pytest.mark.slow
@pytest.mark.parametrize("stage", [2, 3])
def test_within_deepspeed(recipe: dict[str, Any], reference: dict[str, Any], stage: int) -> None:
    pytest.importorskip("deepspeed")
    ours = variant(recipe, f"zero{stage}", **TWO, run__sharding=f"zero{stage}")
    result = launch([ours], 2, **deepspeed(stage))
    assert result.returncode == 0, result.stderr[-3000:]
    assert_same(ours, reference)


@pytest.mark.slow
def test_adapters_validation_and_one_long_document(
    recipe: dict[str, Any], toy_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Without packing, so that a micro-batch is one document; a window; held-out documents stay whole."""
    folder = tmp_path_factory.mktemp("window") / "model"
    config = replace(LlamaConfig.from_folder(toy_model), model_type="mistral", sliding_window=9)
    weights.save_model(weights.init_model(config, seed=0).state_dict(), config, folder)
    copy_tokenizer([toy_model], folder)
    changes = {"data__packing": False, "data__validation": 0.2, "run__evaluate_every": 4, "optim__updates": 8}
    cases: list[tuple[dict[str, Any], str]] = [
        ({**changes, "model__path": str(folder)}, "model/model.safetensors"),
        (
            {**changes, "adapter__kind": "lora", "adapter__rank": 4, "optim__lr": 1e-2},
            "adapter/adapter_model.safetensors",
        ),
    ]
    for number, (case, file) in enumerate(cases):
        one = variant(recipe, f"alone-{number}", **case)
        assert run(one) == 0
        two = [
            variant(one, f"both-{number}-{sharding}", **TWO, run__sharding=sharding) for sharding in ("none", "fsdp2")
        ]
        result = launch(two, 2)
        assert result.returncode == 0, result.stderr[-3000:]
        for each in two:
            assert_same(each, one, file)
