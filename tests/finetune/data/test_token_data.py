"""Tokens are cached by what they were made from; the template and the sources' weights are the recipe's."""

from pathlib import Path

import numpy as np
from transformers import AutoTokenizer

from finetune.data.token_data import load_tokens
from tests.finetune.data.sections import section_of


def test_cache_is_used_and_keyed_by_content(tmp_path: Path, toy_model: Path, toy_data: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(toy_model)
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(toy_data.read_bytes())
    cache = tmp_path / "cache"
    first = load_tokens(cache, section_of(copy), tokenizer, seed=0)
    [folder] = cache.iterdir()
    stamp = (folder / "ids.i32").stat().st_mtime_ns
    load_tokens(cache, section_of(copy), tokenizer, seed=0)
    assert (folder / "ids.i32").stat().st_mtime_ns == stamp
    copy.write_text("".join(copy.read_text().splitlines(keepends=True)[:30]))
    second = load_tokens(cache, section_of(copy), tokenizer, seed=0)
    assert second.documents < first.documents


def test_the_tokenizers_own_template(tmp_path: Path, toy_model: Path, toy_data: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(toy_model)
    named = load_tokens(tmp_path, section_of(toy_data), tokenizer, seed=0)
    same = load_tokens(tmp_path, section_of(toy_data, "tokenizer"), tokenizer, seed=0)
    assert len(list(tmp_path.iterdir())) == 1 and np.array_equal(named.ids, same.ids)  # it carries vicuna_v1.1
    tokenizer.chat_template = tokenizer.chat_template.replace("USER:", "HUMAN:")
    other = load_tokens(tmp_path, section_of(toy_data, "tokenizer"), tokenizer, seed=0)
    text = tokenizer.decode(other.ids[other.bounds[0] : other.bounds[1]])
    assert "HUMAN:" in text and "USER:" not in text and "USER:" in tokenizer.decode(named.ids[: named.bounds[1]])
    trained = tokenizer.decode(other.ids[: other.bounds[1]][other.weights[: other.bounds[1]] > 0])
    assert trained == tokenizer.decode(named.ids[: named.bounds[1]][named.weights[: named.bounds[1]] > 0])


def test_source_weight_repeats_and_samples(tmp_path: Path, toy_model: Path, toy_data: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(toy_model)

    def documents(weight: float) -> int:
        return load_tokens(tmp_path, section_of(toy_data, weight=weight), tokenizer, seed=0).documents

    once = documents(1.0)
    assert documents(2.0) == 2 * once
    assert 0.2 * once < documents(0.5) < 0.8 * once
