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
    stamp = (folder / "ids-0.bin").stat().st_mtime_ns
    load_tokens(cache, section_of(copy), tokenizer, seed=0)
    assert (folder / "ids-0.bin").stat().st_mtime_ns == stamp
    copy.write_text("".join(copy.read_text().splitlines(keepends=True)[:30]))
    second = load_tokens(cache, section_of(copy), tokenizer, seed=0)
    assert second.documents < first.documents


def test_the_tokenizers_own_template(tmp_path: Path, toy_model: Path, toy_data: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(toy_model)
    named = load_tokens(tmp_path, section_of(toy_data), tokenizer, seed=0)
    same = load_tokens(tmp_path, section_of(toy_data, "tokenizer"), tokenizer, seed=0)
    assert len(list(tmp_path.iterdir())) == 1  # it carries vicuna_v1.1
    assert np.array_equal(named.stores[0].ids, same.stores[0].ids)
    tokenizer.chat_template = tokenizer.chat_template.replace("USER:", "HUMAN:")
    other = load_tokens(tmp_path, section_of(toy_data, "tokenizer"), tokenizer, seed=0)
    (ids, weights), (own_ids, own_weights) = other.document(0), named.document(0)
    text = tokenizer.decode(ids)
    assert "HUMAN:" in text and "USER:" not in text and "USER:" in tokenizer.decode(own_ids)
    assert tokenizer.decode(ids[weights > 0]) == tokenizer.decode(own_ids[own_weights > 0])


def test_source_weight_repeats_and_samples(tmp_path: Path, toy_model: Path, toy_data: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(toy_model)

    def documents(weight: float) -> int:
        return load_tokens(tmp_path, section_of(toy_data, weight=weight), tokenizer, seed=0).documents

    once = documents(1.0)
    assert documents(2.0) == 2 * once
    assert 0.2 * once < documents(0.5) < 0.8 * once
