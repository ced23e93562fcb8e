"""What a backward pass freed is there for the next forward pass: the system maps no page anew."""

import os
import subprocess
import sys

import pytest

# Steps of a small model; prints the pages that the last four of eight had to be mapped for.
STEPS = """
import resource, sys
import torch
from finetune.engine.freed_memory import keep_freed_memory
from finetune.llama.attention import Documents
from finetune.llama.config import LlamaConfig
from finetune.llama.model import Llama
if sys.argv[1] == "kept":
    keep_freed_memory()
model, documents = Llama(LlamaConfig(512, 256, 688, 4, 4)), Documents.from_lengths([128] * 8)
torch.set_num_threads(1)
def steps():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        model(torch.zeros(1024, dtype=torch.long), documents.positions(), documents).sum().backward()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
steps()
print(steps())
"""


def pages_mapped_anew(how: str, **said: str) -> int:
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    command = [sys.executable, "-c", STEPS, how]
    result = subprocess.run(command, env=variables | said, capture_output=True, text=True, check=True)
    return int(result.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="another C library")
def test_freed_memory_is_used_again() -> None:
    assert pages_mapped_anew("kept") < 2_500  # half of what it is without


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="another C library")
def test_by_itself_it_is_not_and_what_the_user_says_stays() -> None:
    assert pages_mapped_anew("left") > 5_000
    assert pages_mapped_anew("kept", MALLOC_TRIM_THRESHOLD_="1000000") > 5_000
