"""`camelid finetune perplexity --positions`: the loss by position, over texts that are long enough."""

import json
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer

from camelid.app.cli import main
from tests.finetune.conftest import WORDS


@pytest.fixture
def texts(tmp_path: Path) -> list[str]:
    """Two long ones and a short one, as `texts.jsonl`."""
    rng = Random(0)
    texts = [" ".join(rng.choices(WORDS, k=count)) for count in (500, 20, 600)]
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return texts


def test_the_curve_is_transformers(
    lively_model: Path, tmp_path: Path, texts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Beyond the model's context, too."""
    command = ["finetune", "perplexity", str(lively_model), str(tmp_path / "texts.jsonl"), "--quiet"]
    assert main([*command, "--positions", "300", "--output", str(tmp_path / "out")]) == 0
    tokenizer, peer = AutoTokenizer.from_pretrained(lively_model), AutoModelForCausalLM.from_pretrained(lively_model)
    losses = []
    for text in (texts[0], texts[2]):
        ids = torch.tensor(tokenizer(text).input_ids[:300])
        assert len(ids) == 300
        with torch.no_grad():
            losses.append(cross_entropy(peer(ids[None]).logits[0, :-1].float(), ids[1:], reduction="none").numpy())
    truth = np.mean(losses, axis=0)
    record = json.loads((tmp_path / "out" / "positions.json").read_text())
    assert record["texts"] == 2 and [point["first"] for point in record["positions"]] == [1, 65, 129, 193, 257]
    for point in record["positions"]:
        assert point["loss"] == pytest.approx(float(truth[point["first"] - 1 : point["last"]].mean()), rel=1e-4)
        assert point["tokens"] == 2 * (point["last"] - point["first"] + 1)
    shown = capsys.readouterr().out
    assert "dropped 1 (shorter than 300 tokens 1)" in shown and "257 to       299" in shown
    assert (tmp_path / "out" / "positions.svg").is_file()


def test_what_cannot_be_is_refused(
    lively_model: Path, tmp_path: Path, texts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["finetune", "perplexity", str(lively_model), str(tmp_path / "texts.jsonl"), "--quiet"]
    output = ["--output", str(tmp_path / "out")]
    for options, why in (
        (["--positions", "99"], "go together"),
        (["--positions", "1", *output], "at least 2 tokens"),
        (["--positions", "99", "--by-source", *output], "goes without --by-source"),
        (["--positions", "9999", *output], "no text of 9999 tokens"),
    ):
        assert main([*command, *options]) == 2
        assert why in capsys.readouterr().err
