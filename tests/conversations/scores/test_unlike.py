"""`--unlike` with a model of sentence-transformers, made here, against its own similarities one pair at a time."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from camelid.app.cli import main
from camelid.files.read import read_json, read_jsonl

WORDS = "camel desert water stone bird rain song night road salt wind star tent well dune oasis".split()


@pytest.fixture
def embedder(tmp_path: Path) -> Path:
    """Embeddings of words, drawn at random, averaged over a text: texts of common words are near each other."""
    package: Any = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    import numpy as np
    import tokenizers
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    vocabulary = {"[UNK]": 0, **{word: place for place, word in enumerate(WORDS, 1)}}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    weights = np.random.default_rng(0).normal(size=(len(vocabulary), 24)).astype(np.float32)
    folder = tmp_path / "embedder"
    package.SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights)]).save(str(folder))
    return folder


@pytest.fixture
def scored(tmp_path: Path) -> Path:
    """120 conversations of eight words, many of which share most of them, with a quality each."""
    rng, path = Random(0), tmp_path / "scored.jsonl"
    bases = [rng.choices(WORDS, k=8) for _ in range(30)]
    with path.open("w") as file:
        for place in range(120):
            words = list(rng.choice(bases))
            words[rng.randrange(8)] = rng.choice(WORDS)
            turns = [
                {"role": "user", "content": " ".join(words[:4])},
                {"role": "assistant", "content": " ".join(words[4:])},
            ]
            meta = {"scores": {"quality": rng.randint(1, 1000) / 100}}
            file.write(json.dumps({"id": str(place), "messages": turns, "meta": meta}) + "\n")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("top", [None, 15])
def test_the_best_are_taken_that_are_unlike_better_ones(
    scored: Path, embedder: Path, tmp_path: Path, top: int | None
) -> None:
    from sentence_transformers import SentenceTransformer

    output = tmp_path / "chosen.jsonl"
    command = ["conversations", "score", str(scored), "--output", str(output), "--quiet", "--scores"]
    command += ["--by", "quality", "--unlike", "--embedder", str(embedder), *(["--top", str(top)] if top else [])]
    assert main(command) == 0
    model = SentenceTransformer(str(embedder))
    records = [record for _, record in read_jsonl(scored)]
    vectors = [model.encode("\n\n".join(turn["content"] for turn in one["messages"])) for one in records]
    taken: list[int] = []
    for place in sorted(range(120), key=lambda place: -records[place]["meta"]["scores"]["quality"]):
        near = [float(model.similarity(vectors[place], vectors[one])) for one in taken]
        if len(taken) < (top or 120) and max(near, default=0) <= 0.9:
            taken.append(place)
    assert [record for _, record in read_jsonl(output)] == [records[place] for place in sorted(taken)]
    [ledger] = read_json(tmp_path / "chosen.ledger.json")["ledgers"]
    assert ledger["kept"] == len(taken) < 100 and ledger["dropped"]["too like a better one"] > 0


def test_a_missing_package_or_model_is_named(scored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["conversations", "score", str(scored), "--output", str(tmp_path / "o.jsonl"), "--scores"]
    assert main([*command, "--by", "quality", "--unlike", "--embedder", str(tmp_path / "none")]) == 2
    said = capsys.readouterr().err
    assert "pip install 'camelid[embed]'" in said or f"--embedder {tmp_path / 'none'}" in said
