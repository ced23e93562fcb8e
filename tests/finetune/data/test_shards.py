"""Token shards: read where datatrove wrote them, by Megatron's layout, and what we write is read by datatrove."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from camelid.app.cli import main
from camelid.errors import UserError
from finetune.data.shards import id_dtype, read_shard
from finetune.data.token_data import load_tokens
from finetune.recipe import DataSection, DataSource
from tests.finetune.data.forms.test_text import LONGEST, TEXTS, plain_ids, text_section, write_texts


@pytest.fixture
def tokenizer(toy_model: Path) -> Any:
    return AutoTokenizer.from_pretrained(toy_model)


def megatron(prefix: Path, documents: list[list[list[int]]], code: int = 8, dtype: str = "<u2") -> Path:
    """A pair with several sequences a document, written field by field."""
    sequences = [sequence for document in documents for sequence in document]
    prefix.with_suffix(".bin").write_bytes(b"".join(np.array(each, dtype=dtype).tobytes() for each in sequences))
    size = np.dtype(dtype).itemsize
    lengths = [len(each) for each in sequences]
    places = [size * sum(lengths[:index]) for index in range(len(lengths))]
    marks = [sum(map(len, documents[:index])) for index in range(len(documents) + 1)]
    index = b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, code, len(sequences), len(marks))
    index += struct.pack(f"<{len(lengths)}i", *lengths) + struct.pack(f"<{len(places)}q", *places)
    prefix.with_suffix(".idx").write_bytes(index + struct.pack(f"<{len(marks)}q", *marks))
    return prefix.with_suffix(".idx")


def test_what_we_write_datatrove_reads(tmp_path: Path, toy_model: Path, tokenizer: Any) -> None:
    from datatrove.utils.dataset import DatatroveFileDataset

    texts = write_texts(tmp_path / "texts.jsonl", [*TEXTS, ""])
    assert main(["finetune", "tokens", str(toy_model), str(texts), "--output", str(tmp_path / "mine")]) == 0
    expected = [plain_ids(tokenizer, text) for text in TEXTS]
    flat = [token for ids in expected for token in ids]
    theirs = DatatroveFileDataset(str(tmp_path / "mine.bin"), seq_len=len(flat) - 1, token_size=2)
    assert len(theirs) == 1 and theirs[0]["input_ids"].tolist() == flat
    shard = read_shard(tmp_path / "mine.idx")
    places = zip(shard.starts.tolist(), shard.lengths.tolist(), strict=True)
    assert [shard.ids[start : start + length].tolist() for start, length in places] == expected


def test_what_datatrove_writes_is_trained_on(tmp_path: Path, toy_model: Path, tokenizer: Any) -> None:
    from datatrove.data import Document
    from datatrove.pipeline.tokens.megatron_tokenizer import MegatronDocumentTokenizer

    step = MegatronDocumentTokenizer(
        str(tmp_path / "shards"), tokenizer_name_or_path=str(toy_model / "tokenizer.json"), eos_token="</s>"
    )
    for rank, part in enumerate((TEXTS[:6], TEXTS[6:])):
        step.run((Document(text=text, id=str(number)) for number, text in enumerate(part)), rank=rank)
    section = text_section(DataSource(str(tmp_path / "shards"), form="text"))
    data = load_tokens(tmp_path / "cache", section, tokenizer, seed=0)
    theirs = step.tokenizer.encode_batch(TEXTS)
    pieces = [data.document(index)[0].tolist() for index in range(data.documents)]
    for ids in (encoded.ids for encoded in theirs):
        found = pieces.pop(0)
        while len(found) < len(ids):
            assert pieces[0][0] == found[-1]
            found += pieces.pop(0)[1:]
        assert found == ids
    assert not pieces and data.lengths.max() == LONGEST and len(data.stores) == 2
    assert data.trained_tokens(np.arange(data.documents)) == sum(len(encoded.ids) - 1 for encoded in theirs)
    assert not list((tmp_path / "cache").rglob("ids-*"))  # the shards stay where they are


@pytest.mark.parametrize(("code", "dtype"), [(1, "u1"), (3, "<i2"), (4, "<i4"), (5, "<i8"), (8, "<u2")])
def test_documents_of_several_sequences(tmp_path: Path, tokenizer: Any, code: int, dtype: str) -> None:
    """Sentences of a document are one; each document is cut alone; held out whole; a weight sees it twice."""
    random = np.random.default_rng(0)
    documents = [
        [random.integers(3, 100, size).tolist() for size in random.integers(1, 30, count)]
        for count in random.integers(1, 6, 40)
    ]
    megatron(tmp_path / "theirs", documents, code, dtype)
    for name in ("theirs.bin", "theirs.idx"):
        sources = DataSource(str(tmp_path / name), 2.0, form="text")
        section = DataSection((sources,), max_length=LONGEST, validation=0.3)
        data = load_tokens(tmp_path / "cache", section, tokenizer, seed=0)
        whole = [[token for sentence in document for token in sentence] for document in documents]
        kept = [ids for ids in whole if len(ids) > 1]
        assert data.trained_tokens(np.arange(data.documents)) == 2 * sum(len(ids) - 1 for ids in kept)
        assert data.stores[0].ids.dtype == np.dtype(dtype)
        first = data.document(0)[0].tolist()
        assert first == kept[0][:LONGEST]
    held = {data.document(index)[0].tobytes() for index in data.validation}
    assert held and not held & {data.document(index)[0].tobytes() for index in data.training}


def test_ids_take_two_bytes_where_they_fit() -> None:
    assert np.dtype(id_dtype(65_536)).itemsize == 2 and np.dtype(id_dtype(65_537)).itemsize == 4


def test_bytes_a_token(tmp_path: Path, toy_model: Path, tokenizer: Any) -> None:
    """Of texts as long as articles, in sequences of 2,048: at most 2.1 on disk, tables and all."""
    texts = [" ".join(TEXTS[:12]) for _ in range(60)]
    path = write_texts(tmp_path / "texts.jsonl", texts)
    section = DataSection((DataSource(str(path), form="text"),), max_length=2048)
    data = load_tokens(tmp_path / "cache", section, tokenizer, seed=0)
    size = sum(file.stat().st_size for file in (tmp_path / "cache").rglob("*.npy"))
    size += sum(file.stat().st_size for file in (tmp_path / "cache").rglob("*.bin"))
    assert not list((tmp_path / "cache").rglob("weights*"))
    assert data.tokens > 40_000 and size / data.tokens <= 2.1


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda content: b"x" + content[1:], "not an index of Megatron's"),
        (lambda content: content[:9] + struct.pack("<Q", 2) + content[17:], "version 2 with ids of type 8"),
        (lambda content: content[:17] + b"\x07" + content[18:], "version 1 with ids of type 7"),
        (lambda content: content[:-20], "it was not written to its end"),
    ],
)
def test_a_damaged_index_is_one_line(tmp_path: Path, tokenizer: Any, spoil: Any, message: str) -> None:
    index = megatron(tmp_path / "bad", [[[5, 6, 7]], [[8, 9]]])
    index.write_bytes(spoil(index.read_bytes()))
    with pytest.raises(UserError, match=message):
        load_tokens(tmp_path / "c", text_section(DataSource(str(index), form="text")), tokenizer, seed=0)


def test_a_pair_wants_both_files_that_fit(tmp_path: Path, tokenizer: Any) -> None:
    index = megatron(tmp_path / "half", [[[5, 6, 7]], [[8, 9]]])
    section = text_section(DataSource(str(index), form="text"))
    with pytest.raises(UserError, match="token shards hold texts; give the source `form: text`"):
        load_tokens(tmp_path / "c", DataSection((DataSource(str(index)),), "vicuna_v1.1"), tokenizer, seed=0)
    index.with_suffix(".bin").write_bytes(b"\x05\x00")
    with pytest.raises(UserError, match="holds 1 ids, but its index goes up to 5"):
        load_tokens(tmp_path / "c", section, tokenizer, seed=0)
    index.with_suffix(".bin").unlink()
    with pytest.raises(UserError, match=r"half\.bin: no such file"):
        load_tokens(tmp_path / "c", section, tokenizer, seed=0)


def test_ids_without_a_row_are_refused(tmp_path: Path, toy_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of shards that another tokenizer wrote."""
    index = megatron(tmp_path / "foreign", [[[5, 6, 7, 31_999]]])
    recipe = {
        "model": {"path": str(toy_model)},
        "data": {"train": [{"path": str(index), "form": "text"}], "max_length": 64},
        "optim": {"lr": 1e-3},
        "run": {"output": str(tmp_path / "run"), "precision": "fp32"},
    }
    (tmp_path / "r.yaml").write_text(json.dumps(recipe))
    assert main(["finetune", str(tmp_path / "r.yaml"), "--quiet"]) == 2
    assert "has id 31999, but the embedding has" in capsys.readouterr().err
