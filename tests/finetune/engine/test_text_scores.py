"""Bits a byte are transformers' nats over UTF-8 bytes, of the command and of a run's validation, source by source."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer

from camelid.app.cli import main
from conversations.tokens.token_bytes import implicit_bytes, token_bytes
from finetune.data.token_data import load_tokens
from finetune.engine.perplexity import score_texts
from finetune.recipe import DataSection, DataSource
from tests.finetune.data.forms.test_text import TEXTS, plain_ids
from tests.finetune.runs import metrics, run, variant

MIXED = [*TEXTS, " blanks first", "naïve 字字 \u00a0x", "1234567890 + 3.14"]


def nats(model: Any, ids: list[int], longest: int) -> tuple[float, float, int]:
    """Of all targets, of those before the end of text, and how many; in windows that repeat one token."""
    losses = []
    for start in range(0, len(ids) - 1, longest - 1):
        part = torch.tensor(ids[start : start + longest])
        with torch.no_grad():
            losses += cross_entropy(model(part[None]).logits[0, :-1], part[1:], reduction="none").tolist()
    return sum(losses), sum(losses[:-1]), len(losses)


@pytest.mark.parametrize("longest", [24, 200])
def test_perplexity_is_that_of_transformers(
    tmp_path: Path, lively_model: Path, longest: int, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [{"text": text, "source": ("web", "books")[n % 2]} for n, text in enumerate(MIXED)]
    (tmp_path / "held-out").mkdir()
    (tmp_path / "held-out" / "a.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (tmp_path / "b.txt").write_text(MIXED[0])
    files = [str(tmp_path / "held-out"), str(tmp_path / "b.txt")]
    model = AutoModelForCausalLM.from_pretrained(lively_model, dtype=torch.float64)
    tokenizer = AutoTokenizer.from_pretrained(lively_model)
    _, total, by_source = score_texts(lively_model, files, longest, quiet=True)
    of = {"web": MIXED[::2], "books": MIXED[1::2], files[1]: MIXED[:1]}
    assert list(by_source) == list(of)
    sums = np.zeros(4)
    for name, texts in of.items():
        found = np.array([nats(model, plain_ids(tokenizer, text), longest) for text in texts]).sum(0)
        size = sum(len(text.encode()) for text in texts)
        score = by_source[name]
        assert score.tokens == found[2]
        assert score.loss == pytest.approx(found[0] / found[2], rel=1e-6)
        assert score.perplexity == pytest.approx(math.exp(found[0] / found[2]), rel=1e-5)
        assert score.bits_per_byte == pytest.approx(found[1] / math.log(2) / size, rel=1e-6)
        sums += [*found, size]
    assert total.loss == pytest.approx(sums[0] / sums[2], rel=1e-6)
    assert total.bits_per_byte == pytest.approx(sums[1] / math.log(2) / sums[3], rel=1e-6)
    command = ["finetune", "perplexity", str(lively_model), *files, "--by-source", "--max-length", str(longest)]
    assert main([*command, "--quiet"]) == 0
    rows = [line.rsplit(maxsplit=4) for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[0] for row in rows] == [*of, "all"] and rows[-1][4] == f"{total.bits_per_byte:.4f}"


def test_bytes_of_tokens_are_those_of_the_text(tmp_path: Path, toy_model: Path) -> None:
    """Of byte-level BPE, and of SentencePiece as LLaMA has it, whose own blank before a text is not the text's."""
    from sentencepiece import SentencePieceTrainer

    from conversations.tokens.sentencepiece_model import read_tokenizer

    (tmp_path / "texts.txt").write_text("\n".join([*TEXTS, *"abcdefghij 0123456789"] * 5))
    SentencePieceTrainer.train(
        input=str(tmp_path / "texts.txt"), model_prefix=str(tmp_path / "tokenizer"), vocab_size=400, model_type="bpe",
        byte_fallback=True, split_digits=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
        minloglevel=2,
    )  # fmt: skip
    for tokenizer, blank in (
        (AutoTokenizer.from_pretrained(toy_model), 0),
        (read_tokenizer(tmp_path / "tokenizer.model"), 1),
    ):
        sizes = token_bytes(tokenizer)
        assert implicit_bytes(tokenizer, sizes) == blank
        for text in MIXED:
            ids = plain_ids(tokenizer, text)
            assert sizes[ids].sum() - blank == len(text.encode()), text
            assert sizes[ids[0]] == sizes[ids[-1]] == 0


def test_validation_by_source(tmp_path: Path, toy_recipe: dict[str, Any], toy_model: Path, toy_data: Path) -> None:
    """Texts and chats are scored apart; their weighted mean is the validation loss."""
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in MIXED * 2))
    train = [{"path": str(tmp_path / "texts.jsonl"), "form": "text"}, {"path": str(toy_data)}]
    ours = variant(toy_recipe, "ours", data__train=train, data__validation=0.3, optim__updates=2, optim__lr=1e-12)
    assert run(ours) == 0
    record = metrics(ours)[-1]
    section = DataSection(
        tuple(DataSource(**source) for source in train), "vicuna_v1.1", max_length=128, validation=0.3
    )
    tokenizer = AutoTokenizer.from_pretrained(toy_model)
    data = load_tokens(tmp_path / "cache", section, tokenizer, seed=0)
    model = AutoModelForCausalLM.from_pretrained(toy_model, dtype=torch.float64)
    sums = np.zeros((2, 4))
    for index, source in zip(data.validation, data.sources_of(data.validation), strict=True):
        ids, weights = map(torch.from_numpy, data.document(int(index)))
        with torch.no_grad():
            losses = cross_entropy(model(ids[None]).logits[0, :-1], ids[1:], reduction="none")
        trained = weights[1:].double()
        text = trained * (ids[1:] > 2)
        said = tokenizer.decode(ids[1:][text > 0])
        sums[source] += [float(each) for each in (trained.sum(), losses @ trained, losses @ text, 0)]
        sums[source, 3] += len(said.encode()) * float(trained.max())
    assert list(record["by_source"]) == [source["path"] for source in train]
    for row, score in zip(sums, record["by_source"].values(), strict=True):
        assert score["loss"] == pytest.approx(row[1] / row[0], rel=1e-6)
        assert score["perplexity"] == pytest.approx(math.exp(row[1] / row[0]), rel=1e-6)
    text_row, text_score = sums[0], record["by_source"][train[0]["path"]]
    assert text_score["bits_per_byte"] == pytest.approx(text_row[2] / math.log(2) / text_row[3], rel=1e-6)
    assert record["validation_loss"] == pytest.approx(sums[:, 1].sum() / sums[:, 0].sum(), rel=1e-6)
