"""Adapters and deltas merge into what transformers and peft compute with them."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from camelid.app.cli import main
from camelid.errors import UserError
from finetune.folders import weights
from finetune.folders.merge import copy_tokenizer
from finetune.llama.attention import Documents
from finetune.llama.config import LlamaConfig
from finetune.serve.served import open_served
from tests.finetune.folders.tiny_folders import CONFIG, IDS, logits, save, transformers_logits
from tests.finetune.runs import run, variant

BIASED: dict[str, Any] = {"model_type": "qwen2", "attention_bias": True}


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({}, {}),
        ({"use_dora": True}, {}),
        ({"use_rslora": True}, {}),
        ({}, BIASED),
        ({"use_dora": True}, BIASED),
        ({}, {"model_type": "qwen3", "head_dim": 12}),
        ({}, {"model_type": "mistral", "sliding_window": 4}),
    ],
)
def test_adapters_travel_both_ways(tmp_path: Path, options: dict[str, Any], kind: dict[str, Any]) -> None:
    """Trained on the native module: loads in transformers + peft, and merges. Trained there: merges here."""
    config = dataclasses.replace(CONFIG, **kind)
    base = weights.init_model(config, 3)
    for name, parameter in base.named_parameters():
        if name.endswith(("bias", "q_norm.weight", "k_norm.weight")):
            torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(5))
    weights.save_model(base.state_dict(), config, tmp_path / "base")
    lora = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj"], **options)

    def perturbed(model: Any) -> Any:
        generator = torch.Generator().manual_seed(4)
        with torch.no_grad():
            for name, parameter in sorted(model.named_parameters()):
                if "lora_" in name:
                    parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
        return model.eval()

    ours = perturbed(get_peft_model(base, lora))
    positions, documents = torch.arange(len(IDS)), Documents.from_lengths([len(IDS)])
    with torch.no_grad():
        truth = ours(IDS, positions, documents)
    ours.save_pretrained(tmp_path / "ours")
    peer = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tmp_path / "base"), tmp_path / "ours")
    torch.testing.assert_close(logits(peer), truth, atol=1e-5, rtol=1e-5)
    plain = transformers_logits(tmp_path / "base")
    assert (truth - plain).abs().max() > 0.01

    theirs = perturbed(get_peft_model(AutoModelForCausalLM.from_pretrained(tmp_path / "base"), lora))
    theirs.save_pretrained(tmp_path / "theirs")
    for adapter in ("ours", "theirs"):
        merged = tmp_path / f"merged-{adapter}"
        assert main(["weights", "merge", str(tmp_path / "base"), str(tmp_path / adapter), str(merged)]) == 0
        torch.testing.assert_close(transformers_logits(merged), truth, atol=2e-5, rtol=1e-4)


def test_deltas(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also where the tuned model has a token more, as Alpaca's had."""
    base, tuned = tmp_path / "base", tmp_path / "tuned"
    save(CONFIG, 5, base)
    save(dataclasses.replace(CONFIG, vocab_size=97), 6, tuned)
    delta, back = tmp_path / "delta", tmp_path / "back"
    assert main(["weights", "delta", str(base), str(tuned), str(delta)]) == 0
    assert main(["weights", "merge", str(base), str(delta), str(back)]) == 0
    torch.testing.assert_close(transformers_logits(back), transformers_logits(tuned), atol=1e-5, rtol=1e-5)
    made = json.loads((delta / "delta.json").read_text())
    assert json.loads((back / "made_from.json").read_text())["base_sha256"] == made["base_sha256"]
    save(CONFIG, 7, tmp_path / "other")
    assert main(["weights", "merge", str(tmp_path / "other"), str(delta), str(tmp_path / "x")]) == 2
    assert "other: other weights than those that" in capsys.readouterr().err
    shards = weights.load_model(base)  # the same base in other files is the same base
    weights.save_model(shards.state_dict(), CONFIG, tmp_path / "sharded", shard_bytes=20_000)
    assert main(["weights", "merge", str(tmp_path / "sharded"), str(delta), str(tmp_path / "again")]) == 0
    difference = weights.load_model(tuned).lm_head.weight - weights.load_model(delta).lm_head.weight
    torch.testing.assert_close(difference[:96], weights.load_model(base).lm_head.weight)
    assert main(["weights", "merge", str(base), str(tuned), str(tmp_path / "x")]) == 2
    assert "if it holds delta weights, say --delta" in capsys.readouterr().err
    save(dataclasses.replace(CONFIG, num_hidden_layers=3), 6, tmp_path / "deeper")
    assert main(["weights", "delta", str(base), str(tmp_path / "deeper"), str(tmp_path / "x")]) == 2
    assert "another architecture" in capsys.readouterr().err


def test_a_merged_model_has_a_card(tmp_path: Path, toy_recipe: dict[str, Any], toy_model: Path) -> None:
    ours = variant(toy_recipe, "ours", adapter__kind="lora", optim__updates=1)
    assert run(ours) == 0
    adapter, output = Path(ours["run"]["output"]) / "adapter", tmp_path / "merged"
    assert main(["weights", "merge", str(toy_model), str(adapter), str(output)]) == 0
    card = ModelCard.load(output / "README.md")  # the hub's own reader
    assert card.data.base_model == str(toy_model) and card.data.library_name == "transformers"
    assert f"camelid chat {output}" in card.text and f"camelid serve {output}" in card.text
    assert "| Ends of an answer | `</s>` |" in card.text
    assert "## How the change was trained" in card.text and "| Optimizer | adamw, peak" in card.text
    assert "![Loss over the updates](loss.png)" in card.text and (output / "loss.png").is_file()
    assert card.text.count("```sh") == 1, "how to use the adapter is not how to use the model"


def test_an_adapter_is_refused_on_another_base(
    tmp_path: Path,
    toy_recipe: dict[str, Any],
    toy_model: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By name, of the base that it was trained on, before that is read; the same weights in other files are the same
    base."""
    ours = variant(toy_recipe, "ours", adapter__kind="lora", optim__updates=1)
    assert run(ours) == 0
    adapter, config = str(Path(ours["run"]["output"]) / "adapter"), LlamaConfig.from_folder(toy_model)
    other, moved = tmp_path / "other", tmp_path / "moved"
    weights.save_model(weights.init_model(config, seed=1).state_dict(), config, other)
    weights.save_model(weights.load_model(toy_model).state_dict(), config, moved, shard_bytes=20_000)
    for folder in (other, moved):
        copy_tokenizer([toy_model], folder)
    refusal = f"{other}: other weights than those that {adapter} was trained on ({toy_model}); take these"
    with monkeypatch.context() as patch:
        for reads_all in ("load_model", "weights_hash"):
            patch.setattr(weights, reads_all, None)
        assert main(["weights", "merge", str(other), adapter, str(tmp_path / "x")]) == 2
        assert refusal in capsys.readouterr().err and not (tmp_path / "x").exists()
        with pytest.raises(UserError) as served:
            open_served(other, adapter=adapter)
    assert str(served.value) == refusal
    assert main(["weights", "merge", str(moved), adapter, str(tmp_path / "merged")]) == 0
