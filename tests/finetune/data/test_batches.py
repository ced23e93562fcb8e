"""Batches: every sequence once an epoch, equal shares, and targets equal to a plain next-token oracle."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from finetune.data.batches import Plan, make_micro_batch, micro_batches_of_rank
from finetune.data.token_data import TokenData, load_tokens
from finetune.recipe import OptimSection
from tests.finetune.data.sections import section_of


def plan_of(data: TokenData, toy_data: Path, epochs: float, seed: int, packing: bool = True) -> Plan:
    """Updates of 8 sequences."""
    return Plan(data, section_of(toy_data, packing=packing), OptimSection(1e-3, global_batch=8, epochs=epochs), seed)


@pytest.fixture
def data(tmp_path: Path, toy_model: Path, toy_data: Path) -> TokenData:
    tokenizer = AutoTokenizer.from_pretrained(toy_model)
    return load_tokens(tmp_path, section_of(toy_data), tokenizer, seed=0)


@pytest.mark.parametrize("packing", [True, False])
def test_every_document_once_an_epoch_in_another_order(data: TokenData, toy_data: Path, packing: bool) -> None:
    plan = plan_of(data, toy_data, 2, 3, packing)
    epochs = []
    for epoch in range(2):
        updates = range(epoch * plan.updates_per_epoch, (epoch + 1) * plan.updates_per_epoch)
        rows = [row for update in updates for row in plan.rows(update)]
        assert all(data.lengths[row].sum() <= 128 for row in rows)
        epochs.append(np.concatenate(rows).tolist())
        assert sorted(epochs[-1]) == list(range(data.documents))
    assert epochs[0] != epochs[1]
    assert plan.updates == 2 * plan.updates_per_epoch


def test_any_update_can_be_asked_for_first(data: TokenData, toy_data: Path) -> None:
    plan = plan_of(data, toy_data, 3, 3)
    in_order = [[row.tolist() for row in plan.rows(update)] for update in range(plan.updates)]
    other = plan_of(data, toy_data, 3, 3)
    for update in reversed(range(plan.updates)):
        assert [row.tolist() for row in other.rows(update)] == in_order[update]


def test_blocks_are_shuffled_within_and_mixed_between(data: TokenData, toy_data: Path) -> None:
    """With blocks of 8 documents: each once an epoch, any update first, the same documents in a block every time."""
    small = replace(data, block=8)
    plan = plan_of(small, toy_data, 3, 3)
    in_order = [[row.tolist() for row in plan.rows(update)] for update in range(plan.updates)]
    other = plan_of(small, toy_data, 3, 3)
    for update in reversed(range(plan.updates)):
        assert [row.tolist() for row in other.rows(update)] == in_order[update]
    blocks = -(-data.documents // 8)
    assert blocks > 4
    epochs = [in_order[at : at + plan.updates_per_epoch] for at in range(0, plan.updates, plan.updates_per_epoch)]
    found = []
    for epoch in epochs:
        rows = [row for update in epoch for row in update]
        assert len(rows) == plan.rows_per_epoch and all(len(update) == 8 for update in epoch[:-1])
        documents = [document for row in rows for document in row]
        assert sorted(documents) == list(range(data.documents)) and documents not in found
        found.append(documents)
    beginnings = [set(documents[:8]) for documents in found]
    assert all(max(beginning) - min(beginning) > data.documents // 2 for beginning in beginnings)  # from everywhere


@pytest.mark.parametrize("processes", [1, 2, 3, 5])
@pytest.mark.parametrize("micro_tokens", [10, 60, 100, 250])
@pytest.mark.parametrize("count", [1, 7, 8])
def test_shares_are_disjoint_complete_and_in_step(processes: int, micro_tokens: int, count: int) -> None:
    """Documents of up to 60 tokens, two a sequence: none is lost, and no pass has more tokens than it may."""
    lengths = np.random.default_rng(count).integers(1, 61, 2 * count)
    rows = list(np.arange(2 * count).reshape(count, 2))
    shares = [micro_batches_of_rank(rows, lengths, rank, processes, micro_tokens) for rank in range(processes)]
    assert len({len(micro_batches) for micro_batches in shares}) == 1
    batches = [np.concatenate(batch) for micro_batches in shares for batch in micro_batches if batch]
    assert sorted(np.concatenate(batches).tolist()) == list(range(2 * count))
    assert all(lengths[batch].sum() <= micro_tokens or batch.size == 1 for batch in batches)


@pytest.mark.parametrize("packing", [True, False])
def test_short_records_fill_a_pass(data: TokenData, toy_data: Path, packing: bool) -> None:
    """Sequences of at most 128 tokens, many shorter: never more passes than with a fixed number of sequences each."""
    rows = plan_of(data, toy_data, 1, 3, packing).rows(0)
    tokens = int(data.lengths[np.concatenate(rows)].sum())
    for size in (128, 200, 384, 512):
        passes = micro_batches_of_rank(rows, data.lengths, 0, 1, size)
        assert len(passes) <= -(-len(rows) // (size // 128))
        assert len(passes) <= 11 / 9 * tokens / size + 1  # best fit, longest first (Johnson et al. 1974)


def test_targets_equal_the_next_trained_token(data: TokenData, toy_data: Path) -> None:
    rows = plan_of(data, toy_data, 1, 0).rows(0)
    batch = make_micro_batch(data, rows, torch.device("cpu"))
    expected = []
    place = 0
    for document in np.concatenate(rows):
        ids, weights = data.document(document)
        assert batch.input_ids[place : place + len(ids)].tolist() == ids.tolist()
        assert batch.positions[place : place + len(ids)].tolist() == list(range(len(ids)))
        expected += [(place + i, ids[i + 1], weights[i + 1]) for i in range(len(ids) - 1) if weights[i + 1] > 0]
        place += len(ids)
    got = list(zip(batch.trained.tolist(), batch.targets.tolist(), batch.weights.tolist(), strict=True))
    assert got == [(a, int(b), float(c)) for a, b, c in expected]
    assert sum(c for _, _, c in expected) == pytest.approx(data.trained_weight(np.concatenate(rows)))
    assert batch.tokens == place
    assert batch.numbers.tolist() == np.concatenate(rows).tolist()


def test_no_rows_make_a_batch_that_trains_nothing(data: TokenData) -> None:
    batch = make_micro_batch(data, [], torch.device("cpu"))
    assert batch.tokens == 1 and batch.trained.numel() == 0 and not batch.numbers.size
