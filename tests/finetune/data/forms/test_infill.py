"""Texts with holes: nine in ten, half of them suffix first, cut anywhere, and every one whole again to the byte."""

import json
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from scipy.stats import kstest
from transformers import AutoTokenizer

from camelid.errors import UserError
from conversations.tokens.infill import INFILL_TOKENS
from finetune.data.forms.infill import draw_cut
from finetune.data.token_data import TokenData, load_tokens
from finetune.recipe import DataSection, DataSource
from tests.finetune.conftest import WORDS

PRE, SUF, MID, EOT = TOKENS = INFILL_TOKENS[0].all
ODD = ["Ünïcödé, 字 🦙🦙:\ttab\n\n  blanks ", f"typed {PRE} and {MID}{EOT} </s> are text", "x", " ", "", "\n\n\r\n"]


@pytest.fixture(scope="module")
def tokenizer(toy_model: Path) -> Any:
    tokenizer = AutoTokenizer.from_pretrained(toy_model)
    tokenizer.add_special_tokens({"additional_special_tokens": list(TOKENS)})
    return tokenizer


@pytest.fixture
def likes_of_qwen(toy_model: Path) -> Any:
    """Whose infilling tokens are not called special."""
    tokenizer = AutoTokenizer.from_pretrained(toy_model)
    tokenizer.add_tokens(list(TOKENS))
    return tokenizer


def load(
    folder: Path, tokenizer: Any, texts: list[str], longest: int = 512, weight: float = 1.0, seed: int = 0
) -> TokenData:
    path = folder / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return load_tokens(
        folder / "cache", DataSection((DataSource(str(path), weight, "infill"),), None, longest), tokenizer, seed
    )


def parts(data: TokenData, tokenizer: Any, index: int) -> tuple[str, str, str] | None:
    """Prefix (where the suffix comes first: with the middle), middle and suffix; None of a text.

    A text with an empty prefix looks as if its suffix came first.
    """
    pre, suf, mid, eot = tokenizer.convert_tokens_to_ids(list(TOKENS))
    ids = data.document(index)[0].tolist()
    assert ids[0] == tokenizer.bos_token_id
    if ids[1] != pre:
        assert not {pre, suf, mid, eot} & set(ids)
        return None
    assert ids[-1] == eot and Counter(token for token in ids if token in (pre, suf, mid, eot)) == dict.fromkeys(
        (pre, suf, mid, eot), 1
    )
    head, behind = ids[2 : ids.index(suf)], ids[ids.index(suf) + 1 : -1]
    suffix, middle = behind[: behind.index(mid)], behind[behind.index(mid) + 1 :]
    first = ids[2] == suf
    assert not (first and head)
    texts = [tokenizer.decode(part) for part in ((middle, [], suffix) if first else (head, middle, suffix))]
    return texts[0], texts[1], texts[2]


def test_nine_in_ten_have_a_hole_anywhere(tmp_path: Path, tokenizer: Any) -> None:
    rng, jitter = Random(0), np.random.default_rng(0)
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(5, 30))) for _ in range(6000)]
    data = load(tmp_path, tokenizer, texts)
    [records, _] = data.ledgers
    count = {"suffix, prefix, middle": 0, "prefix, suffix, middle": 0, **records.repaired}
    cut = sum(count.values())
    assert cut / len(texts) == pytest.approx(0.9, abs=0.01) and records.kept == len(texts) and not records.noted
    assert count["suffix, prefix, middle"] / cut == pytest.approx(0.5, abs=0.015)
    places, last = list[float](), list[float]()
    for index, text in enumerate(texts):
        hole, drawn = parts(data, tokenizer, index), draw_cut(text, 0, index)
        assert (hole is None) == (drawn is None)
        if hole is None or drawn is None:
            continue
        (prefix, middle, suffix), first = drawn
        assert hole == ((prefix + middle, "", suffix) if first or not prefix else (prefix, middle, suffix))
        within, size = jitter.random(2), len(text) + 1  # a cut is one of `size` places
        last.append((len(prefix + middle) + within[0]) / size)
        places += [(len(prefix) + within[1]) / size, last[-1]]
    assert kstest(places, "uniform").pvalue > 0.01
    assert kstest(np.square(last), "uniform").pvalue > 0.01  # the larger of two


@pytest.mark.parametrize("fixture", ["tokenizer", "likes_of_qwen"])
@pytest.mark.parametrize("longest", [512, 40])
def test_every_text_comes_back_to_the_byte(
    tmp_path: Path, request: pytest.FixtureRequest, longest: int, fixture: str
) -> None:
    """Those that are longer than a sequence as pieces without a hole, which the ledger counts."""
    tokenizer = request.getfixturevalue(fixture)
    rng = Random(1)
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(1, 40))) + rng.choice(ODD) for _ in range(300)] + ODD
    data = load(tmp_path, tokenizer, texts, longest)
    found, index = list[str](), 0
    while index < data.documents:
        hole = parts(data, tokenizer, index)
        if hole is not None:
            found.append("".join(hole))
            index += 1
            continue
        ids = data.document(index)[0].tolist()
        index += 1
        while ids[-1] != tokenizer.eos_token_id:
            ids += data.document(index)[0].tolist()[1:]
            index += 1
        found.append(tokenizer.decode(ids[1:-1]))
    wanted = [text for text in texts if text.strip()]
    assert [text.encode() for text in found] == [text.encode() for text in wanted]
    records, documents = data.ledgers
    assert (records.kept, records.dropped) == (len(wanted), {"empty": len(texts) - len(wanted)})
    assert documents.kept == data.documents and int(data.lengths.max()) <= longest
    assert bool(records.noted["longer than max_length, so without a hole"]) == (longest == 40)


def test_sentinels_are_not_trained(tmp_path: Path, tokenizer: Any) -> None:
    data = load(tmp_path, tokenizer, [" ".join(WORDS)] * 50)
    sentinels = tokenizer.convert_tokens_to_ids([PRE, SUF, MID])
    for index in range(data.documents):
        ids, weights = data.document(index)
        assert weights.tolist() == [
            float(place > 0 and token not in sentinels) for place, token in enumerate(ids.tolist())
        ]


def test_each_copy_has_a_hole_of_its_own_and_a_seed_decides(tmp_path: Path, tokenizer: Any) -> None:
    text = " ".join(WORDS)

    def ids(name: str, **options: Any) -> list[list[int]]:
        (tmp_path / name).mkdir()
        data = load(tmp_path / name, tokenizer, [text], **options)
        return [data.document(index)[0].tolist() for index in range(data.documents)]

    copies = ids("a", weight=8.0)
    assert len(copies) == 8 and len(set(map(tuple, copies))) > 5
    assert ids("b", weight=8.0) == copies != ids("c", weight=8.0, seed=1)


def test_a_model_without_the_tokens_is_named(tmp_path: Path, toy_model: Path) -> None:
    with pytest.raises(UserError, match=r"tokens '▁<PRE>', .* are missing; .*camelid weights resize"):
        load(tmp_path, AutoTokenizer.from_pretrained(toy_model), ["x"])


def test_only_chats_are_answered_as_samples(tmp_path: Path, tokenizer: Any, toy_data: Path) -> None:
    (tmp_path / "texts.jsonl").write_text(json.dumps({"text": "red cat"}) + "\n")
    sources = DataSource(str(tmp_path / "texts.jsonl"), form="infill"), DataSource(str(toy_data))
    data = load_tokens(tmp_path / "cache", DataSection(sources, "vicuna_v1.1", 128), tokenizer, seed=0)
    assert data.are_chats(np.arange(data.documents)).tolist() == [False] + [True] * (data.documents - 1)
