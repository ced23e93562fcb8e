"""Raw text: every token but a document's first is trained, to the unit, with transformers' loss and gradients."""

import gzip
import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer

from camelid.errors import UserError
from finetune.data.batches import Plan, make_micro_batch
from finetune.data.forms.table import FORMS
from finetune.data.forms.text import cut_pieces
from finetune.data.token_data import TokenData, load_tokens
from finetune.folders import weights
from finetune.objectives.next_token import NextToken
from finetune.recipe import DataSection, DataSource, OptimSection, read_recipe
from tests.finetune.conftest import WORDS

LONGEST = 32
TEXTS = [
    *(" ".join(WORDS[(3 * n + k * k) % len(WORDS)] for k in range(5 + 11 * n)) + "." for n in range(12)),
    "Ünïcödé, 字 and 🦙🦙: tab\tand\n\nlines   with   blanks ",
    "What looks like </s> and <s> is text here, <unk> too.",
    "x",
]


def text_section(*sources: DataSource, longest: int = LONGEST, template: str | None = None) -> DataSection:
    return DataSection(sources, template, longest)


def write_texts(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"text": text, "source": "here", "meta": {"n": 1}}) + "\n" for text in texts))
    return path


@pytest.fixture
def tokenizer(toy_model: Path) -> Any:
    return AutoTokenizer.from_pretrained(toy_model)


@pytest.fixture
def data(tmp_path: Path, tokenizer: Any) -> TokenData:
    source = DataSource(str(write_texts(tmp_path / "texts.jsonl", TEXTS)), form="text")
    return load_tokens(tmp_path / "cache", text_section(source), tokenizer, seed=0)


def plain_ids(tokenizer: Any, text: str) -> list[int]:
    """What the tokenizer makes of a text in which nothing is a control token, between begin and end of text."""
    between = tokenizer.backend_tokenizer
    between.encode_special_tokens = True
    ids = between.encode(text, add_special_tokens=False).ids
    between.encode_special_tokens = False
    return [tokenizer.bos_token_id, *ids, tokenizer.eos_token_id]


def test_pieces_repeat_one_token_and_lose_none(data: TokenData, tokenizer: Any) -> None:
    pieces = [data.document(index) for index in range(data.documents)]
    for text in TEXTS:
        whole = plain_ids(tokenizer, text)
        found = [pieces.pop(0)]
        while len(whole) > 1 + sum(ids.size - 1 for ids, _ in found):
            found.append(pieces.pop(0))
        assert whole == found[0][0].tolist() + [token for ids, _ in found[1:] for token in ids[1:].tolist()]
        assert all(after[0] == before[-1] for (before, _), (after, _) in pairwise(found))
        assert all(ids.size == LONGEST for ids, _ in found[:-1])
    assert not pieces
    every = np.arange(data.documents)
    expected = sum(len(plain_ids(tokenizer, text)) - 1 for text in TEXTS)
    assert data.trained_tokens(every) == data.trained_weight(every) == expected
    records, documents = data.ledgers
    assert (records.unit, records.kept, documents.kept) == ("texts", len(TEXTS), data.documents)
    assert records.repaired["cut at max_length"] == sum(len(plain_ids(tokenizer, text)) > LONGEST for text in TEXTS)


@pytest.mark.parametrize(("tokens", "longest"), [(2, 8), (8, 8), (9, 8), (15, 8), (16, 8), (1000, 8)])
def test_every_target_once(tokens: int, longest: int) -> None:
    pieces = cut_pieces(tokens, longest)
    targets = Counter(place for start, end in pieces for place in range(start + 1, end))
    assert targets == Counter(range(1, tokens)) and all(2 <= end - start <= longest for start, end in pieces)


def test_an_epoch_trains_every_token_once_in_full_sequences(data: TokenData) -> None:
    plan = Plan(data, text_section(DataSource("x", form="text")), OptimSection(1e-3, global_batch=4, epochs=1.0), 0)
    batches = [make_micro_batch(data, plan.rows(update), torch.device("cpu")) for update in range(plan.updates)]
    numbers = np.concatenate([batch.numbers for batch in batches])
    assert sorted(numbers.tolist()) == list(range(data.documents))
    assert sum(batch.trained.numel() for batch in batches) == data.tokens - data.documents
    assert all(float(batch.weights.min()) == 1.0 for batch in batches)


def test_loss_and_gradients_are_those_of_transformers(data: TokenData, toy_model: Path) -> None:
    """All documents packed into one batch, against each of them alone, in float64."""
    ours = weights.load_model(toy_model, dtype=torch.float64)
    theirs = AutoModelForCausalLM.from_pretrained(toy_model, dtype=torch.float64)
    batch = make_micro_batch(data, [np.arange(data.documents)], torch.device("cpu"))
    objective = NextToken()
    loss = ours(batch.input_ids, batch.positions, batch.documents, head=objective.head(batch, None))
    loss = loss / objective.divisor(data, batch.numbers)
    loss.backward()
    total, count = torch.zeros((), dtype=torch.float64), 0
    for index in range(data.documents):
        ids = torch.from_numpy(data.document(index)[0])
        total = total + cross_entropy(theirs(ids[None]).logits[0, :-1], ids[1:], reduction="sum")
        count += len(ids) - 1
    truth = total / count
    truth.backward()
    assert float(loss.detach()) == pytest.approx(float(truth.detach()), rel=2e-6)
    gradients = dict(ours.named_parameters())
    for name, weight in theirs.named_parameters():
        mine = gradients[name].grad
        assert mine is not None and weight.grad is not None
        torch.testing.assert_close(mine, weight.grad, rtol=2e-6, atol=2e-6 * float(weight.grad.abs().max()))


def test_one_text_in_any_file_gives_the_same_documents(tmp_path: Path, tokenizer: Any) -> None:
    from datasets import Dataset

    lines = write_texts(tmp_path / "texts.jsonl", TEXTS).read_bytes()
    (tmp_path / "packed.jsonl.gz").write_bytes(gzip.compress(lines))
    Dataset.from_list([{"text": text} for text in TEXTS]).to_parquet(str(tmp_path / "texts.parquet"))
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "a.jsonl").write_bytes(b"".join(lines.splitlines(keepends=True)[:7]))
    (tmp_path / "shards" / "b.jsonl").write_bytes(b"".join(lines.splitlines(keepends=True)[7:]))
    (tmp_path / "plain" / "deep").mkdir(parents=True)
    for number, text in enumerate(TEXTS):
        (
            tmp_path / "plain" / ("deep" if number > 9 else "") / f"{number:02}.{'md' if number % 5 == 1 else 'txt'}"
        ).write_bytes(text.encode())
    contents = []
    for name in ("texts.jsonl", "packed.jsonl.gz", "texts.parquet", "shards", "plain"):
        section = text_section(DataSource(str(tmp_path / name), form="text"))
        found = load_tokens(tmp_path / f"cache-{name}", section, tokenizer, seed=0)
        contents.append(sorted(found.document(index)[0].tobytes() for index in range(found.documents)))
    assert all(content == contents[0] for content in contents)


def test_texts_and_chats_in_one_run(tmp_path: Path, tokenizer: Any, toy_data: Path) -> None:
    texts = write_texts(tmp_path / "texts.jsonl", [*TEXTS, "", "  \n"])
    sources = DataSource(str(texts), 2.0, form="text"), DataSource(str(toy_data))
    data = load_tokens(
        tmp_path / "cache", text_section(*sources, longest=128, template="vicuna_v1.1"), tokenizer, seed=0
    )
    chats = load_tokens(
        tmp_path / "chats", text_section(sources[1], longest=128, template="vicuna_v1.1"), tokenizer, seed=0
    )
    alone = load_tokens(tmp_path / "texts", text_section(sources[0], longest=128), tokenizer, seed=0)
    assert [ledger.unit for ledger in data.ledgers] == ["conversations", "texts", "documents"]
    assert data.ledgers[1].dropped == {"empty": 4} and data.ledgers[1].kept == 2 * len(TEXTS)
    assert data.documents == alone.documents + chats.documents
    of_source = data.sources_of(np.arange(data.documents))
    assert of_source.tolist() == [0] * alone.documents + [1] * chats.documents
    for index in range(chats.documents):
        for mine, truth in zip(data.document(alone.documents + index), chats.document(index), strict=True):
            assert mine.tolist() == truth.tolist()
    every = np.arange(data.documents)
    assert data.trained_weight(every) == alone.trained_weight(every[: alone.documents]) + chats.trained_weight(
        every[: chats.documents]
    )


@pytest.mark.parametrize(
    ("form", "record", "message"),
    [
        ("text", {"messages": []}, r"1: a chat \(field 'messages'\) in a source of `form: text`; give it `form: chat`"),
        ("text", {"body": "x"}, r"1: no field 'text', which holds the document in `form: text`; found \['body'\]"),
        ("text", {"text": None}, "1: field 'text' must be a string, found NoneType"),
        ("chat", {"text": "x"}, r"1: raw text .*; or give the source `form: text`, which trains all of it"),
    ],
)
def test_a_record_of_another_form_is_named(
    tmp_path: Path, tokenizer: Any, form: Any, record: dict[str, Any], message: str
) -> None:
    (tmp_path / "data.jsonl").write_text(json.dumps(record) + "\n")
    source = DataSource(str(tmp_path / "data.jsonl"), form=form)
    with pytest.raises(UserError, match=message):
        load_tokens(tmp_path / "cache", text_section(source, template="vicuna_v1.1"), tokenizer, seed=0)


def test_chats_want_a_template(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.template is missing: a\.jsonl is chat"):
        DataSection((DataSource("b.jsonl", form="text"), DataSource("a.jsonl")))
    with pytest.raises(UserError, match="form"):
        read_recipe("recipes/smoke.yaml", ["data.train=[{path: a.jsonl, form: prose}]"])


def test_recipes_know_every_form() -> None:
    assert get_args(get_type_hints(DataSource)["form"]) == tuple(FORMS)


def test_both_kinds_of_files_in_one_folder_are_refused(tmp_path: Path, tokenizer: Any) -> None:
    write_texts(tmp_path / "a.jsonl", TEXTS)
    (tmp_path / "b.txt").write_text("x")
    with pytest.raises(UserError, match=r"holds texts \(b\.txt\) beside what is none \(a\.jsonl\)"):
        load_tokens(tmp_path / "c", text_section(DataSource(str(tmp_path), form="text")), tokenizer, seed=0)


def test_a_corpus_folder_is_its_records(tmp_path: Path, tokenizer: Any) -> None:
    """What `camelid corpus` leaves beside them is no data."""
    (tmp_path / "made" / "data").mkdir(parents=True)
    (tmp_path / "made" / "data" / "00000.jsonl.gz").write_bytes(
        gzip.compress(write_texts(tmp_path / "a.jsonl", TEXTS).read_bytes())
    )
    (tmp_path / "made" / "ledger.json").write_text('{"ledgers": []}')
    (tmp_path / "made" / "asked.json").write_text('{"name": "x"}')
    section = text_section(DataSource(str(tmp_path / "made"), form="text"))
    assert load_tokens(tmp_path / "c", section, tokenizer, seed=0).ledgers[0].kept == len(TEXTS)
