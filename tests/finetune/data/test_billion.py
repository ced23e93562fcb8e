"""A billion tokens are planned and shuffled in less than a gigabyte, torch and all."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPT = """
import resource
import numpy as np
from finetune.data.batches import Plan
from finetune.data.token_data import TokenData
from finetune.data.token_store import TokenStore
from finetune.recipe import DataSection, DataSource, OptimSection

chance = np.random.default_rng(0)
lengths = np.clip(chance.lognormal(5.0, 1.0, 5_000_000), 2, 2048).astype(np.int64)
ids = np.broadcast_to(np.uint16(5), (int(lengths.sum()),))
none = np.zeros(0, dtype=np.int64)
data = TokenData(
    (TokenStore(ids, None, 0),), lengths.cumsum() - lengths, lengths, np.array([5]), np.arange(lengths.size), none, []
)
section = DataSection((DataSource("x", form="text"),), max_length=2048)
plan = Plan(data, section, OptimSection(1e-3, global_batch=512, epochs=2.0), 0)
seen = 0
for update in range(plan.updates_per_epoch):
    seen += sum(row.size for row in plan.rows(plan.updates_per_epoch + update))
print(lengths.sum(), lengths.size, seen, plan.rows_per_epoch, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_a_billion_tokens_in_a_gigabyte() -> None:
    result = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, check=True)
    tokens, documents, seen, rows, memory = map(int, result.stdout.split())
    assert tokens > 1e9 and seen == documents
    assert tokens / (rows * 2048) > 0.999
    assert memory * 1024 <= 1e9
