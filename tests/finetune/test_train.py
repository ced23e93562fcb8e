"""The runner: the loss does not depend on how an update is cut; a killed run resumes exactly."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

ROOT = Path(__file__).parents[2]


def write(recipe: dict[str, Any], path: Path) -> Path:
    path.write_text(yaml.safe_dump(recipe))
    return path


def command(recipe: Path, processes: int = 1) -> list[str]:
    if processes == 1:
        return [sys.executable, "-m", "finetune.train", str(recipe), "--quiet"]
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    return [sys.executable, *launch, "-m", "finetune.train", str(recipe), "--quiet"]


def train(recipe: dict[str, Any], tmp_path: Path, processes: int = 1) -> list[dict[str, Any]]:
    """Run a recipe in processes of its own; return its metrics."""
    path = write(recipe, tmp_path / f"{Path(recipe['run']['output']).name}.yaml")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command(path, processes), cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    metrics = Path(recipe["run"]["output"]) / "metrics.jsonl"
    return [json.loads(line) for line in metrics.read_text().splitlines()]


def variant(recipe: dict[str, Any], tmp_path: Path, name: str, **optim: object) -> dict[str, Any]:
    return {
        **recipe,
        "optim": {**recipe["optim"], **optim},
        "run": {**recipe["run"], "output": str(tmp_path / name)},
    }


def test_update_does_not_depend_on_micro_batch_or_processes(toy_recipe: dict[str, Any], tmp_path: Path) -> None:
    runs = {
        f"micro {micro}, {processes} process(es)": train(
            variant(toy_recipe, tmp_path, f"m{micro}p{processes}", micro_batch=micro), tmp_path, processes
        )
        for micro, processes in [(1, 1), (2, 1), (4, 1), (2, 2), (1, 2)]
    }
    reference = runs.pop("micro 1, 1 process(es)")
    assert len(reference) == 6
    assert reference[-1]["loss"] < reference[0]["loss"]
    for name, metrics in runs.items():
        for ours, truth in zip(metrics, reference, strict=True):
            assert ours["loss"] == pytest.approx(truth["loss"], rel=1e-6), name
            assert ours["grad_norm"] == pytest.approx(truth["grad_norm"], rel=1e-5), name
            assert ours["tokens"] == truth["tokens"] and ours["trained_tokens"] == truth["trained_tokens"]


def test_first_loss_equals_transformers_on_each_conversation_alone(toy_recipe: dict[str, Any], tmp_path: Path) -> None:
    """The packed, micro-batched loss against Hugging Face's model on one unpacked document at a time."""
    from finetune.batches import Plan
    from finetune.data import load_tokens
    from finetune.recipe import Source

    recipe = variant(toy_recipe, tmp_path, "truth", updates=1)
    [metrics] = train(recipe, tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(recipe["model"]["path"])
    [source] = recipe["data"]["train"]
    data = load_tokens(tmp_path / "cache", [Source(**source)], "vicuna_v1.1", tokenizer, 128, seed=0)
    model = AutoModelForCausalLM.from_pretrained(recipe["model"]["path"], dtype=torch.float32)
    total, weight = 0.0, 0.0
    for row in Plan(data, 128, True, 8, epochs=1, updates=1, seed=0).rows(0):
        for document in row:
            start, end = data.bounds[document], data.bounds[document + 1]
            ids = torch.tensor(data.ids[start:end], dtype=torch.long)
            weights = torch.tensor(data.weights[start + 1 : end])
            with torch.no_grad():
                logits = model(ids[None]).logits[0, :-1]
            losses = torch.nn.functional.cross_entropy(logits, ids[1:], reduction="none")
            total += float((losses * weights).sum())
            weight += float(weights.sum())
    assert metrics["loss"] == pytest.approx(total / weight, rel=1e-5)


def test_killed_run_resumes_to_the_same_weights(toy_recipe: dict[str, Any], tmp_path: Path) -> None:
    train(variant(toy_recipe, tmp_path, "whole", updates=40), tmp_path)
    recipe = variant(toy_recipe, tmp_path, "killed", updates=40)
    path = write(recipe, tmp_path / "killed.yaml")
    folder = Path(recipe["run"]["output"])
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for wanted in (2, 10):
        process = subprocess.Popen(command(path), cwd=ROOT, env=environment, start_new_session=True)
        deadline = time.monotonic() + 60
        while not any(int(found.name[-8:]) >= wanted for found in (folder / "checkpoints").glob("update-*")):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert not (folder / "summary.json").exists()
    metrics = train(recipe, tmp_path)
    assert [record["update"] for record in metrics] == list(range(1, 41))
    ours, truth = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("killed", "whole"))
    assert ours.keys() == truth.keys()
    assert all(torch.equal(ours[name], truth[name]) for name in truth)


def test_trained_folder_loads_in_transformers_with_its_template(toy_recipe: dict[str, Any], tmp_path: Path) -> None:
    train(toy_recipe, tmp_path)
    folder = Path(toy_recipe["run"]["output"]) / "model"
    AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hello!"}], tokenize=False, add_generation_prompt=True
    )
    assert text.endswith("USER: Hello! ASSISTANT:")
    again = subprocess.run(command(tmp_path / "run.yaml"), cwd=ROOT, capture_output=True, text=True, check=True)
    assert "already finished" in again.stdout


@pytest.mark.parametrize(
    ("section", "key", "value", "says"),
    [
        ("run", "processes", 2, "asked for 2 process(es), but 1 work(s) together"),
        ("model", "path", "no/such/folder", "model.path = 'no/such/folder': no such folder"),
        ("data", "train", [{"path": "missing.jsonl"}], "missing.jsonl: no such file"),
        ("data", "template", "vicuna_v1", "did you mean 'vicuna_v1.1'?"),
    ],
)
def test_mistakes_end_in_one_line(
    toy_recipe: dict[str, Any], tmp_path: Path, section: str, key: str, value: object, says: str
) -> None:
    toy_recipe[section][key] = value
    path = write(toy_recipe, tmp_path / "recipe.yaml")
    result = subprocess.run(command(path), cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 2
    assert says in result.stderr
    assert "Traceback" not in result.stderr


def test_run_folder_of_another_recipe_is_refused(toy_recipe: dict[str, Any], tmp_path: Path) -> None:
    train(toy_recipe, tmp_path)
    toy_recipe["optim"]["lr"] = 5e-4
    path = write(toy_recipe, tmp_path / "run.yaml")
    result = subprocess.run(command(path), cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 2
    assert "it differs in optim.lr" in result.stderr
