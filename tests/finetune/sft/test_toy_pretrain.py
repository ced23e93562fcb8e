"""From texts alone to a model that knows more of them: the toy recipe with the commands of docs/pretraining.md."""

import json
import shutil
from pathlib import Path

import pytest

from camelid.app.cli import main

ROOT = Path(__file__).parents[3]
TINY = "vocab_size: 400\nhidden_size: 64\nintermediate_size: 128\nnum_hidden_layers: 2\nnum_attention_heads: 4\n" + (
    "num_key_value_heads: 2\nmax_position_embeddings: 256\ntie_word_embeddings: true\n"
)


def test_a_model_is_pre_trained_on_the_documentation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy-pretrain" / "texts").mkdir(parents=True)
    for page in (ROOT / "docs").glob("*.md"):
        (tmp_path / "toy-pretrain" / "texts" / f"{page.stem}.txt").write_text(page.read_text()[:3000])
    shutil.copy(ROOT / "recipes" / "toy" / "pretrain.yaml", tmp_path / "pretrain.yaml")
    (tmp_path / "tiny.yaml").write_text(TINY)
    small = [
        "data.validation=0.3",
        "data.max_length=128",
        "optim.global_batch=4",
        "optim.micro_tokens=512",
        "optim.updates=15",
    ]
    for command in (
        ["tokenizer", "train", "toy-pretrain/texts", "--vocab", "400", "--output", "toy-pretrain/tokenizer"],
        ["weights", "init", "tiny.yaml", "--tokenizer", "toy-pretrain/tokenizer", "--output", "toy-pretrain/start"],
        ["finetune", "pretrain.yaml", "--quiet", "run.evaluate_every=5", *small],
        ["finetune", "perplexity", "toy-pretrain/run/model", "toy-pretrain/texts", "--max-length", "128", "--quiet"],
    ):
        assert main(command) == 0, capsys.readouterr().err
    lines = [json.loads(line) for line in Path("toy-pretrain/run/metrics.jsonl").read_text().splitlines()]
    bits = [line["by_source"]["toy-pretrain/texts"]["bits_per_byte"] for line in lines if "by_source" in line]
    assert len(bits) == 3 and bits[0] > bits[1] > bits[2]
    assert all(line["trained_tokens"] > 0.95 * line["tokens"] for line in lines)
    table = capsys.readouterr().out.splitlines()[-1].split()
    assert table[0] == "all" and float(table[-1]) == pytest.approx(bits[-1], rel=0.1)
    card = Path("toy-pretrain/run/model/README.md").read_text()
    assert "| Template | none (raw text), at most 128 tokens |" in card and "(all of a text)" in card
