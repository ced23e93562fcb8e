"""Perplexity and its buckets, with a model of single words in the place of KenLM's: what is asked, and the sums."""

import math
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from corpus import perplexity
from corpus.perplexity import Perplexity
from tests.corpus.conftest import CorpusCommand, ledger, records

CHANCES = {"the": 0.5, "sea": 0.25, "00": 0.125}  # of a word; another has 0.001, the end of a line 0.5


class Model:
    """As kenlm.Model: log10 of a sentence, its end included."""

    def __init__(self, path: str) -> None:
        assert path == "x.bin"

    def score(self, sentence: str) -> float:
        return sum(math.log10(CHANCES.get(word, 0.001)) for word in sentence.split()) + math.log10(0.5)


class Pieces:
    def __init__(self, model_file: str) -> None:
        assert model_file == "x.model"

    def encode(self, text: str, out_type: type) -> list[str]:
        return text.split()


@pytest.fixture(autouse=True)
def kenlm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kenlm", SimpleNamespace(Model=Model))
    monkeypatch.setitem(sys.modules, "sentencepiece", SimpleNamespace(SentencePieceProcessor=Pieces))
    perplexity._open.cache_clear()


def test_perplexity_a_piece() -> None:
    """Two lines: chances 0.5 x 0.25 x 0.5 and 0.125 x 0.5, of five pieces with ends; accents and case do not count."""
    measure = Perplexity("x.bin", "x.model", (10.0, 100.0))
    assert measure.measure("The S\u00e9a\n42") == pytest.approx((0.5 * 0.25 * 0.5 * 0.125 * 0.5) ** (-1 / 5))
    assert [measure.bucket(value) for value in (9.9, 10.0, 99.9, 100.0)] == ["head", "middle", "middle", "tail"]


def test_buckets_that_stay(tmp_path: Path, corpus: CorpusCommand) -> None:
    (tmp_path / "raw").mkdir()
    for name, text in {"a": "the sea the sea", "b": "the sea of words", "c": "nothing known here"}.items():
        (tmp_path / "raw" / f"{name}.txt").write_text(text)
    rules = ("--keep", "perplexity={lm: x.bin, spm: x.model, cutoffs: [4, 40]}", "--keep", "buckets=[head, middle]")
    corpus("read", "text", tmp_path / "raw", "--output", tmp_path / "out", "--quiet", *rules)
    assert [record["meta"]["bucket"] for record in records(tmp_path / "out")] == ["head", "middle"]
    assert ledger(tmp_path / "out").dropped == {"perplexity: tail": 1}


def test_cutoffs_are_two() -> None:
    with pytest.raises(ValueError, match="cutoffs: expected two perplexities, the smaller first"):
        Perplexity("x.bin", "x.model", (3.0, 2.0))
