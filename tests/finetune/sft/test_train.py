"""The runner from recipe to model folder: the right loss, the right files, and one line for each mistake."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from camelid.app.cli import main as command_line
from finetune.train import main
from tests.finetune.runs import metrics, run, variant, write


def test_first_loss_equals_transformers_on_each_conversation_alone(toy_recipe: dict[str, Any], tmp_path: Path) -> None:
    """The packed, micro-batched loss against Hugging Face's model on one unpacked document at a time."""
    from finetune.data.batches import Plan
    from finetune.data.token_data import load_tokens
    from finetune.recipe import DataSection, DataSource, OptimSection

    recipe = variant(toy_recipe, "truth", optim__updates=1)
    assert run(recipe) == 0
    [record] = metrics(recipe)
    tokenizer = AutoTokenizer.from_pretrained(recipe["model"]["path"])
    [source] = recipe["data"]["train"]
    section = DataSection((DataSource(**source),), "vicuna_v1.1", max_length=128)
    data = load_tokens(tmp_path / "cache", section, tokenizer, seed=0)
    model = AutoModelForCausalLM.from_pretrained(recipe["model"]["path"], dtype=torch.float32)
    total, weight = 0.0, 0.0
    for row in Plan(data, section, OptimSection(lr=1e-3, global_batch=8, updates=1), seed=0).rows(0):
        for document in row:
            ids, weights = map(torch.from_numpy, data.document(document))
            with torch.no_grad():
                logits = model(ids[None]).logits[0, :-1]
            losses = torch.nn.functional.cross_entropy(logits, ids[1:], reduction="none")
            total += float((losses * weights[1:]).sum())
            weight += float(weights.sum())
    assert record["loss"] == pytest.approx(total / weight, rel=1e-5)


def test_what_a_run_leaves_behind(toy_recipe: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    toy_recipe["optim"]["final_lr"] = 0.1
    assert run(toy_recipe) == 0
    peak, left = toy_recipe["optim"]["lr"], (1 + math.cos(math.pi * 4 / 5)) / 2  # 1 of 6 updates warms up
    assert metrics(toy_recipe)[-1]["lr"] == pytest.approx(peak * (0.1 + 0.9 * left))
    folder = Path(toy_recipe["run"]["output"])
    AutoModelForCausalLM.from_pretrained(folder / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hello!"}], tokenize=False, add_generation_prompt=True
    )
    assert text.endswith("USER: Hello! ASSISTANT:")
    card = (folder / "model" / "README.md").read_text()
    assert "pipeline_tag: text-generation" in card and "`vicuna_v1.1`, at most 128 tokens" in card
    assert f"\ncamelid chat {folder / 'model'}\ncamelid serve {folder / 'model'}\n" in card
    assert f"peak learning rate {peak:g}, cosine to 0.1 of it, weight decay" in card
    assert "| Ends of an answer | `</s>` |" in card
    assert "![Loss over the updates](loss.png)" in card and (folder / "model" / "loss.png").is_file()
    assert (folder / "loss.svg").is_file() and (folder / "loss.png").is_file()
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["updates"] == 6 and summary["tokens"] == sum(record["tokens"] for record in metrics(toy_recipe))
    assert run(toy_recipe) == 0
    assert "already finished" in capsys.readouterr().out


def test_the_card_of_an_adapter_says_how_to_merge_it(toy_recipe: dict[str, Any], toy_model: Path) -> None:
    ours = variant(toy_recipe, "ours", adapter__kind="lora", optim__updates=1)
    assert run(ours) == 0
    folder = Path(ours["run"]["output"])
    card = (folder / "adapter" / "README.md").read_text()
    commands = card.split("```sh\n")[1].split("\n```")[0].splitlines()
    assert commands[0] == f"camelid weights merge {toy_model} {folder / 'adapter'} {folder / 'model'}"
    assert commands[1:] == [f"camelid chat {folder / 'model'}", f"camelid serve {folder / 'model'}"]
    assert command_line(commands[0].split()[1:]) == 0
    assert (folder / "model" / "config.json").is_file()


def test_trackers_are_fed(toy_recipe: dict[str, Any]) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    toy_recipe["run"]["trackers"] = ["tensorboard"]
    assert run(toy_recipe) == 0
    reader = events.EventAccumulator(str(Path(toy_recipe["run"]["output"]) / "camelid"))
    reader.Reload()
    losses = [record["loss"] for record in metrics(toy_recipe)]
    assert [point.value for point in reader.Scalars("loss")] == pytest.approx(losses)


def test_wandb_is_fed_offline(toy_recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `wandb sync` would send later: every update's loss, and the recipe."""
    records = pytest.importorskip("wandb.proto.wandb_internal_pb2")
    for name, value in {"MODE": "offline", "DIR": str(tmp_path), "SILENT": "true"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    toy_recipe["run"]["trackers"] = ["wandb"]
    assert run(toy_recipe) == 0
    [file] = tmp_path.glob("wandb/offline-run-*/*.wandb")
    logged, losses, config = file.read_bytes(), list[float](), dict[str, Any]()
    at, parts = 7, b""  # LevelDB's log behind 7 bytes of wandb's: blocks of 32,768, parts of records with 7 bytes ahead
    while at + 7 < len(logged):
        if (room := 32768 - at % 32768) < 7:
            at += room
            continue
        size, kind = int.from_bytes(logged[at + 4 : at + 6], "little"), logged[at + 6]
        parts, at = parts + logged[at + 7 : at + 7 + size], at + 7 + size
        if kind in (1, 4):  # whole, or the last part
            record, parts = records.Record.FromString(parts), b""
            items = {item.key or ".".join(item.nested_key): item.value_json for item in record.history.item}
            losses += [json.loads(items["loss"])] if items else []
            settings = (*record.run.config.update, *record.config.update)
            config |= {item.key: json.loads(item.value_json) for item in settings}
    assert losses == pytest.approx([record["loss"] for record in metrics(toy_recipe)])
    assert (config["optim.lr"], config["model.path"]) == (1e-3, toy_recipe["model"]["path"])


def test_overrides_may_stand_behind_an_option(toy_recipe: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(write(toy_recipe)), "--quiet", "optim.lrr=1"]) == 2
    assert "unknown key 'optim.lrr'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "changes",
    [
        {"optim__label_smoothing": 0.1, "optim__neftune": 5.0, "optim__schedule": "linear"},
        {"run__precision": "bf16", "model__recompute": "selective"},
        {"run__precision": "bf16-pure", "model__recompute": "full"},
        {"run__precision": "bf16-pure", "adapter__kind": "lora", "adapter__also": ["embed_tokens", "lm_head"]},
        {"optim__in_backward": True, "optim__clip_norm": 0.0},
    ],
    ids=lambda changes: ",".join(key.partition("__")[2] for key in changes),
)
def test_options_train(
    toy_recipe: dict[str, Any],
    changes: dict[str, object],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    ours = variant(toy_recipe, "option", data__validation=0.2, run__evaluate_every=3, **changes)
    assert run(ours) == 0
    assert ("no bfloat16 units" in capsys.readouterr().err) == ("run__precision" in changes)
    losses = [record["loss"] for record in metrics(ours)]
    assert losses[-1] < losses[0]
    assert not any(record["skipped"] for record in metrics(ours))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model__path": "no/such/folder"}, "model.path = 'no/such/folder': no such folder"),
        ({"model__path": "recipes/modls"}, "no such folder; did you mean 'recipes/models'?"),
        ({"data__train": [{"path": "missing.jsonl"}]}, "data.train: missing.jsonl: no such file; expected a file, "),
        ({"data__train": [{"path": "recipes/smke.jsonl"}]}, "no such file; did you mean 'recipes/smoke.yaml'?"),
        ({"data__template": "vicuna_v1"}, "did you mean 'vicuna_v1.1'?"),
        ({"data__template": "llama-3"}, "template 'llama-3' needs the special token(s)"),
        ({"optim__lrr": 1e-5}, "unknown key 'optim.lrr'; did you mean 'lr'?"),
        ({"adapter__targets": ["q_pro"]}, "adapter.targets: no linear layer 'q_pro'; did you mean 'q_proj'?"),
        ({"optim__in_backward": True}, "optim.clip_norm = 1.0: must be 0 with optim.in_backward"),
        ({"run__tensor_parallel": 2}, "run.tensor_parallel = 2 must divide the number of processes, 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_mistakes_end_in_one_line(
    toy_recipe: dict[str, Any], changes: dict[str, object], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(variant(toy_recipe, "mistake", **changes)) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("camelid: error: ") and says in line


def test_unknown_role_names_its_line(
    toy_recipe: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "roles.jsonl"
    path.write_text('{"messages": [{"role": "wizard", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}\n')
    toy_recipe["data"]["train"] = [{"path": str(path)}]
    assert run(toy_recipe) == 2
    error = capsys.readouterr().err
    assert f"{path}:1" in error and "'wizard'" in error and error.count("\n") == 1


def test_run_folder_of_another_recipe_is_refused(
    toy_recipe: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(toy_recipe) == 0
    toy_recipe["optim"]["lr"] = 5e-4
    assert run(toy_recipe) == 2
    assert "it differs in optim.lr" in capsys.readouterr().err


def test_data_sets_of_the_datasets_library(toy_recipe: dict[str, Any], toy_data: Path, tmp_path: Path) -> None:
    """The same rows as a file and as a folder that `datasets` saved give the same losses."""
    from datasets import Dataset

    Dataset.from_list([json.loads(line) for line in toy_data.read_text().splitlines()]).save_to_disk(tmp_path / "saved")
    other = variant(toy_recipe, "saved", data__train=[{"path": str(tmp_path / "saved")}])
    assert run(toy_recipe) == run(other) == 0
    assert [record["loss"] for record in metrics(other)] == [record["loss"] for record in metrics(toy_recipe)]
