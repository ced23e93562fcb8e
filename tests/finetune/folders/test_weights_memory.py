"""Peak memory of reading and writing weights, mapped pages included, measured in a process of its own."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from finetune.folders import weights
from finetune.llama.config import LlamaConfig

CONFIG = LlamaConfig(
    vocab_size=512, hidden_size=768, intermediate_size=2048, num_hidden_layers=8, num_attention_heads=12,
    max_position_embeddings=64,
)  # fmt: skip
MIB = 2**20
SHARD = 32 * MIB
SLACK = 24 * MIB  # of the interpreter: lazily loaded code, the allocator

CHILD = """
import sys
from pathlib import Path
from finetune.folders import meta, weights
from finetune.llama.config import LlamaConfig

def memory(field):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))

def peak(work, *arguments, **options):
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM, the high-water mark, starts anew
    work(*arguments, **options)
    return memory("VmHWM") - before

def convert(folder):
    if folder.name == "meta":
        config, tensors = meta.open_checkpoint(folder)
    else:
        config, tensors = LlamaConfig.from_folder(folder), weights.open_tensors(folder)
    weights.write_weights(tensors, config, folder.with_name("from-" + folder.name), shard_bytes=int(sys.argv[2]))

root = Path(sys.argv[1])
weights.load_model(root / "tiny")  # what PyTorch imports only when it is used
for folder in ("sharded", "pickled"):
    print("load", folder, peak(weights.load_model, root / folder))
for folder in ("sharded", "pickled", "meta"):
    print("convert", folder, peak(convert, root / folder))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_peak_memory_is_the_model_and_one_shard(tmp_path: Path) -> None:
    model = weights.init_model(CONFIG, seed=0)
    state = model.state_dict()
    size = sum(tensor.nbytes for tensor in state.values())
    assert size > 1.5 * (3 * SHARD + SLACK)  # else the bounds below prove nothing

    weights.save_model(state, CONFIG, tmp_path / "sharded", shard_bytes=SHARD)
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_bytes((tmp_path / "sharded" / "config.json").read_bytes())
    placed = json.loads((tmp_path / "sharded" / "model.safetensors.index.json").read_text())["weight_map"]
    files = {
        name: file.replace("model", "pytorch_model").replace("safetensors", "bin") for name, file in placed.items()
    }
    (pickled / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": files}))
    for file in set(files.values()):
        torch.save({name: state[name].clone() for name in files if files[name] == file}, pickled / file)
    write_meta(tmp_path / "meta", 4)

    tiny = dataclasses.replace(CONFIG, num_hidden_layers=1, vocab_size=8)
    weights.save_model(weights.init_model(tiny, seed=0).state_dict(), tiny, tmp_path / "tiny")

    child = [sys.executable, "-c", CHILD, str(tmp_path), str(SHARD)]
    lines = subprocess.run(child, check=True, capture_output=True, text=True).stdout.splitlines()
    assert len(lines) == 5
    for line in lines:
        work, _, peak = line.split()
        bound = size + SHARD if work == "load" else 3 * SHARD  # a shard is read, converted, written: never the model
        assert int(peak) <= bound + SLACK, line


def write_meta(folder: Path, shards: int) -> None:
    """Meta's layout: every matrix split in `shards` files."""
    from finetune.folders.meta import LAYER

    theirs = {ours: (name, dimension) for name, (ours, dimension) in LAYER.items()}
    width = CONFIG.hidden_size
    parts: list[dict[str, torch.Tensor]] = [{"norm.weight": torch.ones(width)} for _ in range(shards)]

    def add(name: str, shape: tuple[int, ...], dimension: int | None) -> None:
        for part, piece in zip(parts, _split(torch.ones(shape), shards, dimension), strict=True):
            part[name] = piece.clone()

    add("tok_embeddings.weight", (CONFIG.vocab_size, width), 1)
    add("output.weight", (CONFIG.vocab_size, width), 0)
    for name, tensor in weights.init_model(CONFIG, seed=0).state_dict().items():
        if name.startswith("model.layers."):
            _, _, layer, *rest, _ = name.split(".")
            own, dimension = theirs[".".join(rest)]
            add(f"layers.{layer}.{own}.weight", tuple(tensor.shape), dimension)
    folder.mkdir()
    for number, part in enumerate(parts):
        torch.save(part, folder / f"consolidated.{number:02d}.pth")
    params = {"dim": width, "n_layers": CONFIG.num_hidden_layers, "n_heads": 12, "norm_eps": 1e-5, "vocab_size": -1}
    (folder / "params.json").write_text(json.dumps(params))


def _split(tensor: torch.Tensor, shards: int, dimension: int | None) -> list[torch.Tensor]:
    return [tensor] * shards if dimension is None else list(tensor.chunk(shards, dimension))
