"""Sample answers do not depend on how the model is spread over processes."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.finetune.runs import launch, run, variant


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, lively_model: Path, toy_data: Path) -> dict[str, Any]:
    """Two updates of a model whose answers differ, evaluated after each."""
    folder = tmp_path_factory.mktemp("samples")
    return {
        "model": {"path": str(lively_model)},
        "data": {
            "train": [{"path": str(toy_data)}], "template": "vicuna_v1.1", "max_length": 128, "validation": 0.1,
        },
        "optim": {"lr": 1e-4, "global_batch": 4, "micro_tokens": 256, "updates": 2},
        "run": {"output": str(folder / "run"), "precision": "fp32", "evaluate_every": 1},
    }  # fmt: skip


@pytest.fixture(scope="module")
def one_process(recipe: dict[str, Any]) -> list[dict[str, Any]]:
    assert run(variant(recipe, "one")) == 0
    found = samples(variant(recipe, "one"))
    assert [sample["update"] for sample in found] == [1, 1, 1, 2, 2, 2]
    assert len({len(sample["answer"]) for sample in found}) > 3  # some answers end before others
    return found


def samples(recipe: dict[str, Any]) -> list[dict[str, Any]]:
    lines = (Path(recipe["run"]["output"]) / "samples.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_answers_are_those_of_transformers(recipe: dict[str, Any], one_process: list[dict[str, Any]]) -> None:
    """Of the finished model, which wrote the last three."""
    folder = Path(variant(recipe, "one")["run"]["output"]) / "model"
    peer, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    for sample in one_process[3:]:
        ids = tokenizer(sample["prompt"], add_special_tokens=False, return_tensors="pt")["input_ids"]
        truth = peer.generate(ids, max_new_tokens=128, do_sample=False)[0, ids.shape[1] :]
        assert sample["answer"] == tokenizer.decode(truth, skip_special_tokens=True).strip()


@pytest.mark.slow
def test_three_prompts_on_two_processes(recipe: dict[str, Any], one_process: list[dict[str, Any]]) -> None:
    """DistributedDataParallel, fully_shard, tensor parallelism: the process with one prompt idles while two go on."""
    ways = [
        variant(recipe, "ddp", run__processes=2, run__sharding="none"),
        variant(recipe, "fsdp2", run__processes=2, run__sharding="fsdp2"),
        variant(recipe, "tensor", run__processes=2, run__tensor_parallel=2),
    ]
    result = launch(ways, 2)
    assert result.returncode == 0, result.stderr[-3000:]
    for way in ways:
        assert samples(way) == one_process, way["run"]


@pytest.mark.slow
def test_an_adapter_and_a_grid_of_four(recipe: dict[str, Any]) -> None:
    """LoRA under fully_shard, whose wrapper must be called; tensor parallelism within fully_shard, three prompts."""
    lora = variant(recipe, "lora", adapter__kind="lora")
    plain = variant(recipe, "plain")
    assert run(lora) == run(plain) == 0
    cut = variant(recipe, "lora-fsdp2", adapter__kind="lora", run__processes=2, run__sharding="fsdp2")
    result = launch([cut], 2)
    assert result.returncode == 0, result.stderr[-3000:]
    assert samples(cut) == samples(lora)
    grid = variant(recipe, "grid", run__processes=4, run__sharding="fsdp2", run__tensor_parallel=2)
    result = launch([grid], 4)
    assert result.returncode == 0, result.stderr[-3000:]
    assert samples(grid) == samples(plain)
