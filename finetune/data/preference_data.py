"""Preferences as training data: tokenised once, kept beside each other on disk, memory-mapped after."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from camelid.errors import UserError
from camelid.files.ledger import Ledger
from camelid.files.read import read_json
from camelid.files.system_errors import make_folder, naming_write_errors
from camelid.files.write import sync_folder, write_json
from conversations.preference import LabelledAnswer, Preference, PreferenceRecord, is_preference, parse_preference
from conversations.tokens.template import template_for
from conversations.tokens.tokenize import Encoder
from finetune.data.forms.form import TokenizedDocument
from finetune.data.hold_out import draw_held_out
from finetune.data.pieces import AnswerPieces
from finetune.data.preference_documents import SHARE, PreferenceDocument, labelled_documents, pair_documents
from finetune.data.sources import source_fingerprint, source_records
from finetune.data.token_data import TokenData
from finetune.data.token_store import TokenWriter, read_table
from finetune.recipe import DataSource, PreferenceDataSection, PreferenceRecipe

FORMAT = 1  # raise it when the meaning of the cached arrays changes
Unit = Literal["pairs", "answers"]


@dataclass(frozen=True)
class PreferenceData:
    """Preferences, tokenised.

    Attributes:
        tokens: a document each: prompt and answers, with `pieces`.
        grades: (documents,) int8, see `PreferenceDocument`.
        labels: (answers,) int8, see `PreferenceDocument`.
        folder: where they are kept, and what belongs to them may be.
    """

    tokens: TokenData
    grades: npt.NDArray[np.int8]
    labels: npt.NDArray[np.int8]
    folder: Path

    @property
    def pieces(self) -> AnswerPieces:
        assert self.tokens.pieces is not None
        return self.tokens.pieces


def unit_of(recipe: PreferenceRecipe) -> Unit:
    """What a document of a run is."""
    return "answers" if recipe.kind == "kto" else "pairs"


def load_preferences(
    cache: Path, data: PreferenceDataSection, tokenizer: Any, seed: int, unit: Unit, share_from: float = SHARE
) -> PreferenceData:
    """Return the tokenised preferences, from the cache folder if they are there, else tokenise and fill the cache.

    Args:
        cache: folder that holds one folder per distinct data set.
        data: the sources, the template, the most tokens of a document, and the share of the prompts that is held out.
        tokenizer: a Hugging Face fast tokenizer.
        seed: picks the part of a source whose weight has a fraction, and what is held out.
        unit: whether a document is a pair or one labelled answer; a pair is two of the latter.
        share_from: share of the prompt in a document from which its answers share it.

    Raises:
        UserError: a source is missing or broken, or nothing in it can be trained on.
    """
    folder = cache / _key(data, tokenizer, seed, unit, share_from)
    if not (folder / "facts.json").is_file():
        _fill(folder, data, tokenizer, seed, unit, share_from)
    arrays = {path.stem: np.load(path) for path in folder.glob("*.npy")}
    documents = arrays["grades"].size
    held_out = draw_held_out(arrays["prompt_hashes"], np.arange(documents), seed, data.validation)
    training, held = np.flatnonzero(~held_out), np.flatnonzero(held_out)
    if data.validation and not (training.size and held.size):
        raise UserError(
            f"data.validation = {data.validation}: too little data to hold out a part and train on the rest"
        )
    facts = read_json(folder / "facts.json")
    table = read_table(folder, facts, lambda source, shard: Path(shard))
    tokens = TokenData(
        stores=table.stores,
        starts=table.starts,
        lengths=table.lengths,
        used=table.used,
        training=training,
        validation=held,
        ledgers=[Ledger.from_json(ledger) for ledger in facts["ledgers"]],
        block=table.block,
        pieces=AnswerPieces(arrays["first"], arrays["prompts"], arrays["answers"]),
    )
    return PreferenceData(tokens, arrays["grades"], arrays["labels"], folder)


def _key(data: PreferenceDataSection, tokenizer: Any, seed: int, unit: Unit, share_from: float) -> str:
    parts = [
        "preferences",
        FORMAT,
        [(source_fingerprint(source), source.weight) for source in data.train],
        template_for(data.template, tokenizer).fingerprint,
        hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest(),
        data.max_length,
        seed,
        unit,
        share_from,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _records(sources: tuple[DataSource, ...], seed: int) -> Iterator[tuple[str, PreferenceRecord]]:
    """Every record, as often as the weight of its source says, with its place."""
    for index, source in enumerate(sources):
        random = np.random.default_rng([seed, 2, index])
        whole, fraction = divmod(source.weight, 1.0)
        for place, record in source_records(source):
            if not is_preference(record):
                raise UserError(
                    f"{place}: no preference record; `camelid conversations preferences FILE --output OUTPUT` makes "
                    "them of published formats"
                )
            parsed = parse_preference(record, place)
            for _ in range(int(whole) + (random.random() < fraction)):
                yield place, parsed


def _pairs(records: Iterable[tuple[str, PreferenceRecord]]) -> Iterator[Preference]:
    for place, record in records:
        if isinstance(record, LabelledAnswer):
            raise UserError(f"{place}: one answer with a label, where pairs are trained on; train it with kind: kto")
        yield record


def _labelled(records: Iterable[tuple[str, PreferenceRecord]]) -> Iterator[LabelledAnswer]:
    for _, record in records:
        yield from [record] if isinstance(record, LabelledAnswer) else record.labelled()


def _fill(folder: Path, data: PreferenceDataSection, tokenizer: Any, seed: int, unit: Unit, share_from: float) -> None:
    """Tokenise beside `folder`, then move it there at once."""
    encoder = Encoder(template_for(data.template, tokenizer), tokenizer, last_turn_only=True)
    ledger, records = Ledger(unit), _records(data.train, seed)
    if unit == "pairs":
        documents = pair_documents(_pairs(records), encoder, data.max_length, share_from, ledger)
    else:
        documents = labelled_documents(_labelled(records), encoder, data.max_length, share_from, ledger)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    make_folder(partial)
    try:
        with naming_write_errors(folder, "the tokens"):
            writer = TokenWriter(partial, len(tokenizer))
            _write_documents(partial, writer, documents)
            write_json(partial / "facts.json", {"ledgers": [ledger.to_json()], "stores": writer.stores})
        if not ledger.kept:
            names = ", ".join(source.path for source in data.train)
            raise UserError(f"data.train: {names}: no preference that can be trained on ({ledger.summary()})")
        if not folder.is_dir():  # else another process was faster, with the same content
            partial.rename(folder)
            sync_folder(folder.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_documents(folder: Path, writer: TokenWriter, documents: Iterable[PreferenceDocument]) -> None:
    """Ids and weights, and what is known of each document and answer."""
    first = [0]
    prompts, answers, labels, grades, hashes = list[int](), list[int](), list[int](), list[int](), list[int]()
    with writer.source_store(0, weighted=True) as add:
        for number, document in enumerate(documents):
            parts = zip(document.prompts, document.answers, strict=True)
            weights = [np.full(count, trained, np.float32) for part in parts for trained, count in enumerate(part)]
            add(number, TokenizedDocument(document.ids, np.concatenate(weights)))
            first.append(first[-1] + len(document.answers))
            prompts += document.prompts
            answers += document.answers
            labels += document.labels
            grades.append(document.grade)
            hashes.append(document.prompt_hash)
    writer.close()
    for name, values in (("first", first), ("prompts", prompts), ("answers", answers)):
        np.save(folder / f"{name}.npy", np.array(values, dtype=np.int64))
    np.save(folder / "labels.npy", np.array(labels, dtype=np.int8))
    np.save(folder / "grades.npy", np.array(grades, dtype=np.int8))
    np.save(folder / "prompt_hashes.npy", np.array(hashes, dtype=np.uint64))
