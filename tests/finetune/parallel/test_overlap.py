"""Gradients and weights are on their way while others are still computed: under DistributedDataParallel and FSDP2.

By the order of events in torch's profiler, and for DistributedDataParallel by the clock, over a link that is slow.
(FSDP2 leaves the waiting to CUDA's streams; on a CPU, which has none, it waits where it asks, so only its order can be
seen here. Sums of tensor parallelism and messages of a pipeline are needed at once: nothing is computed meanwhile.)
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune.communication import update_traffic
from finetune.folders import weights
from finetune.layout import Layout
from finetune.llama.config import LlamaConfig
from finetune.recipe import read_recipe
from tests.finetune.runs import ROOT

pytestmark = pytest.mark.slow

LAYERS = 12
# 41 million weights: 7 of the 25 MB in which DistributedDataParallel sums gradients.
CONFIG = LlamaConfig(
    vocab_size=420, hidden_size=512, intermediate_size=1536, num_hidden_layers=LAYERS, num_attention_heads=8
)

CHILD = """
import json, sys, time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
import numpy as np
import torch
from torch import distributed
from torch.futures import Future
from torch.profiler import ProfilerActivity, profile, record_function
from finetune.data.batches import MicroBatch
from finetune.engine.make_worker import make_worker
from finetune.llama.attention import Documents
from finetune.objectives.next_token import token_loss
from finetune.parallel import launch
from finetune.parallel.patience import Patience
from finetune.recipe import read_recipe

recipe = read_recipe(sys.argv[1])
accelerator, sharding = launch.start(recipe.run, recipe.optim)
worker = make_worker(accelerator, sharding, recipe, Patience())
ids = torch.randint(0, 400, (64,), generator=torch.Generator().manual_seed(accelerator.process_index))
places = torch.arange(64)
batch = MicroBatch(
    np.zeros(0, dtype=np.int64), ids, places, Documents.from_lengths([64]), places[:-1], ids[1:], torch.ones(63)
)
head = partial(token_loss, positions_N=batch.trained, targets_N=batch.targets, weights_N=batch.weights)

def both_passes(last=True):
    started = time.perf_counter()
    with worker.accumulating(last):
        with record_function("forward pass"):
            loss = worker.forward(batch, head)
        with record_function("backward pass"):
            worker.backward(loss)
    took = time.perf_counter() - started
    worker.forget_gradients()
    return took

def tell(**facts):
    if accelerator.is_main_process:
        print(json.dumps(facts), flush=True)

for _ in range(2):  # DistributedDataParallel orders its buckets by the first pass
    both_passes()
with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as seen:
    both_passes()
events = [(event.name, event.time_range.start, event.time_range.end, event.input_shapes) for event in seen.events()]
for name, begin, end, _ in [event for event in events if event[0].endswith(" pass")]:
    inside = [event for event in events if begin <= event[1] <= end]
    computed = max(event[2] for event in inside if event[0] in ("aten::mm", "mkldnn::_linear_pointwise"))
    begun = [event[1] for event in inside if event[0].startswith("c10d::")]
    sizes = {call: 0 for call in ("_allgather_base_", "_reduce_scatter_base_")}  # numbers of the whole tensors
    for called, _, _, shapes in inside:
        if called.removeprefix("c10d::") in sizes:
            sizes[called.removeprefix("c10d::")] += max(np.prod(shape) for shape in shapes if shape)
    tell(what=name, collectives=len(begun), early=sum(moment < computed for moment in begun), **{
        call: int(size) for call, size in sizes.items()
    })

if sharding == "none":
    link, delay, calls = ThreadPoolExecutor(1), 0.0, 0

    def send(bucket, done=None):
        time.sleep(delay)
        distributed.all_reduce(bucket.buffer())
        done.set_result(bucket.buffer() / 2)

    def slowly(blocking, bucket):
        global calls
        calls += 1
        done = Future()
        send(bucket, done) if blocking[0] else link.submit(send, bucket, done)
        return done

    blocking = [False]
    worker.model.register_comm_hook(blocking, slowly)
    alone = min(both_passes(last=False) for _ in range(3))
    both_passes()
    calls = 0
    both_passes()
    buckets = max(1, calls)  # none if nothing overlaps
    # As long as the backward pass, about two thirds of both; the slowest process's, so that all wait equally long.
    longest = torch.tensor(alone * 2 / 3 / buckets)
    distributed.all_reduce(longest, distributed.ReduceOp.MAX)
    delay, seconds = float(longest), {}
    for name, blocking[0] in (("overlapped", False), ("blocking", True)) * 3:
        distributed.barrier()
        seconds[name] = min(both_passes(), seconds.get(name, 1e9))
    tell(what="seconds", calls=buckets, alone=alone, **seconds)
"""


def measured(folder: Path, sharding: str) -> dict[str, dict[str, Any]]:
    """What two processes say of themselves, by what it is about."""
    weights.save_model(weights.init_model(CONFIG, seed=0).state_dict(), CONFIG, folder / "model")
    recipe = {
        "model": {"path": str(folder / "model")},
        "data": {"train": [{"path": "unused"}], "template": "alpaca"},
        "optim": {"lr": 1e-3},
        "run": {"output": str(folder / "run"), "precision": "fp32", "sharding": sharding},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    (folder / "child.py").write_text(CHILD)
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [sys.executable, *start, str(folder / "child.py"), str(folder / "recipe.yaml")]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, env=variables, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    facts = [json.loads(line) for line in result.stdout.splitlines() if line.startswith('{"what"')]
    return {fact.pop("what"): fact for fact in facts}


def test_gradients_are_summed_during_the_backward_pass(tmp_path: Path) -> None:
    """At least 80% of the sums begin before the last matrix product is computed, and hide 20% of the time and more."""
    facts = measured(tmp_path, "none")
    backward, seconds = facts["backward pass"], facts["seconds"]
    assert backward["collectives"] == seconds["calls"] >= 6
    assert backward["early"] >= 0.8 * backward["collectives"]
    assert seconds["overlapped"] <= 0.8 * seconds["blocking"]


def test_weights_are_gathered_and_gradients_cut_layer_by_layer(tmp_path: Path) -> None:
    """FSDP2: a gathering a layer in each pass, a summing a layer in the backward pass, and at least 80% in time.

    What they send is what a plan says.
    """
    facts = measured(tmp_path, "fsdp2")
    gathered = sum(each["_allgather_base_"] for each in facts.values())
    summed = sum(each["_reduce_scatter_base_"] for each in facts.values())
    planned = update_traffic(CONFIG, read_recipe(tmp_path / "recipe.yaml"), Layout(2, 1, "fsdp2"), 1, 64)
    # Of two processes each sends the half that the other lacks, 4 bytes a number.
    assert {each.name: each.size for each in planned} == {"weights": gathered / 2 * 4, "gradients": summed / 2 * 4}
    assert facts["forward pass"]["collectives"] == LAYERS + 1
    assert facts["backward pass"]["collectives"] == 2 * LAYERS + 1 + 1
    for each in facts.values():
        assert each["early"] >= 0.8 * each["collectives"]
