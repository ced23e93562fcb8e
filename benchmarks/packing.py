"""Packing 100,000 and 1,000,000 document lengths into rows of 2048 tokens, against TRL's best-fit-decreasing.

How full the rows are, and sequences a second; medians of five runs, paired.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.lengths import CAPACITY, sharegpt_like
from benchmarks.peers import trl_python
from benchmarks.spread import spread
from finetune.data.packing import pack_documents

RUNS = 5
SCRIPT = """
import json, sys, time
import numpy as np, pyarrow as pa
from datasets import Dataset
from trl import pack_dataset
lengths = np.load(sys.argv[1])
data = Dataset.from_dict({"input_ids": [np.zeros(n, dtype=np.int32) for n in lengths]}).with_format("arrow")
seconds = []
for _ in range(int(sys.argv[2])):
    started = time.perf_counter()
    packed = pack_dataset(data, seq_length=int(sys.argv[3]), strategy="bfd", map_kwargs={"batch_size": len(lengths)})
    seconds.append(time.perf_counter() - started)
print(json.dumps({"seconds": seconds, "rows": len(packed)}))
"""


def ours(lengths: np.ndarray) -> tuple[list[float], float]:
    """Sequences a second of each run, and how full the rows are."""
    seconds = []
    for _ in range(RUNS):
        started = time.perf_counter()
        rows = pack_documents(lengths, CAPACITY)
        seconds.append(time.perf_counter() - started)
    return [lengths.size / once for once in seconds], float(lengths.sum() / (len(rows) * CAPACITY))


def peer(lengths: np.ndarray) -> tuple[list[float], float]:
    """The same of TRL, in an environment of its own."""
    python = trl_python()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "lengths.npy"
        np.save(file, lengths)
        command = [str(python), "-c", SCRIPT, str(file), "3", str(CAPACITY)]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
    facts = json.loads(result.stdout.splitlines()[-1])
    return [lengths.size / once for once in facts["seconds"]], float(lengths.sum() / (facts["rows"] * CAPACITY))


def main() -> None:
    results: list[dict[str, Any]] = []
    for count in (100_000, 1_000_000):
        lengths = sharegpt_like(count)
        rates, fill = ours(lengths)
        rate = statistics.median(rates)
        print(f"{count:,} lengths: {rate:,.0f} sequences/s, {fill:.4%} full", flush=True)
        full = {"what": f"fill, {count:,}", "ours": fill, "peer": None, "ratio": None, "bar": 0.999}
        quick = {"what": f"sequences/s, {count:,}", "ours": round(rate), "peer": None, "ratio": None, "bar": 1_000_000}
        if count == 100_000:  # TRL takes a minute for a million
            peer_rates, full["peer"] = peer(lengths)
            peer_rate = statistics.median(peer_rates)
            quick |= {"peer": round(peer_rate), "ratio": round(rate / peer_rate, 1)}
            quick["spread"] = spread([min(rates) / max(peer_rates), max(rates) / min(peer_rates)])
        results += [{**full, "met": fill >= 0.999}, {**quick, "met": rate >= 1_000_000}]
    print(json.dumps({"name": "packing", "met": all(result["met"] for result in results), "results": results}))


if __name__ == "__main__":
    main()
