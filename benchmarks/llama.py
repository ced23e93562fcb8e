"""The native LLaMA against transformers' on a CPU: training step, saved activations, recomputation, generation.

Run: python benchmarks/llama.py. The last line is one JSON object. Every timing is paired: the two sides take
turns in one process, and the ratio is that of the medians. bf16 means bf16 autocast.
"""

import gc
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoModelForCausalLM

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.spread import spread
from finetune.folders import weights
from finetune.generate.decode import generate
from finetune.generate.sampling import Sampling
from finetune.llama.attention import Documents
from finetune.llama.config import LlamaConfig
from finetune.llama.model import Llama
from finetune.llama.recompute import Recompute
from finetune.objectives.next_token import token_loss

TOKENS = 2048
# LLaMA's vocabulary; an eighth of the width, feed-forward and heads of its 7B, a quarter of the layers.
CONFIG = LlamaConfig(
    vocab_size=32000, hidden_size=512, intermediate_size=1376, num_hidden_layers=8, num_attention_heads=8,
    max_position_embeddings=TOKENS,
)  # fmt: skip
# For bf16 on a CPU without bf16 units, where PyTorch multiplies matrices a hundred times slower than in fp32.
SMALL = replace(CONFIG, vocab_size=2000, hidden_size=128, intermediate_size=344, num_hidden_layers=4,
                num_attention_heads=2)  # fmt: skip
PAIRS = 5

Step = Callable[[], torch.Tensor]


class Alive(TorchDispatchMode):
    """Watches every tensor that is made; `bytes()` is what of it still exists.

    What has the shape of a weight is no activation and not counted: autocast's copy of a weight, or the gradient of
    the output layer, which our loss makes together with its value.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.weights = {shape for p in model.parameters() for shape in (p.shape, p.shape[::-1])}
        self.made: list[tuple[StorageWeakRef, int]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor) and tensor.shape not in self.weights:
                storage = tensor.untyped_storage()
                self.made.append((StorageWeakRef(storage), storage.nbytes()))
        return out

    def bytes(self) -> int:
        gc.collect()
        alive = {reference.cdata: size for reference, size in self.made if not reference.expired()}
        return sum(alive.values())


def ours(model: Llama, ids: torch.Tensor, bf16: bool) -> torch.Tensor:
    """Loss of next-token prediction on one document of all tokens."""
    positions, trained = torch.arange(TOKENS), torch.arange(TOKENS - 1)
    head = partial(token_loss, positions_N=trained, targets_N=ids[1:], weights_N=torch.ones(TOKENS - 1))
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        loss: torch.Tensor = model(ids, positions, Documents.from_lengths([TOKENS]), head=head)
    return loss / (TOKENS - 1)


def theirs(model: Any, ids: torch.Tensor, bf16: bool) -> torch.Tensor:
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        loss: torch.Tensor = model(input_ids=ids[None], labels=ids[None], use_cache=False).loss
    return loss


def train_seconds(model: torch.nn.Module, step: Step) -> float:
    model.zero_grad()
    started = time.perf_counter()
    step().backward()
    return time.perf_counter() - started


def paired(first: Callable[[], float], second: Callable[[], float]) -> tuple[float, float, list[float]]:
    """Medians of two timings that take turns, and first / second of each turn."""
    first(), second()
    times = [(first(), second()) for _ in range(PAIRS)]
    a, b = (statistics.median(column) for column in zip(*times, strict=True))
    return a, b, [one / other for one, other in times]


def saved_bytes(model: torch.nn.Module, step: Step) -> float:
    """Bytes a token that are kept between forward and backward pass."""
    with Alive(model) as alive:
        loss = step()
        kept = alive.bytes()
    del loss
    return kept / TOKENS


def tokens(model: Llama) -> torch.Tensor:
    return torch.randint(0, model.config.vocab_size, (TOKENS,), generator=torch.Generator().manual_seed(0))


def name(model: Llama, bf16: bool) -> str:
    return f"{'bf16' if bf16 else 'fp32'} D={model.config.hidden_size}"


def row(
    what: str, mine: float, peer: float, ratio: float, bar: str, met: bool, ratios: list[float] | None = None
) -> dict[str, Any]:
    result = {"what": what, "ours": round(mine, 4), "peer": round(peer, 4), "ratio": round(ratio, 4)}
    verdict = "met" if met else "MISSED"
    print(f"{what:66s} ours {mine:10.3f}  peer {peer:10.3f}  ratio {ratio:6.3f}  bar {bar:8s} {verdict}", flush=True)
    return {**result, "spread": spread(ratios) if ratios else None, "bar": bar, "met": met}


def training(mine: Llama, peer: Any, bf16: bool) -> list[dict[str, Any]]:
    ids = tokens(mine)
    my_step, peer_step = partial(ours, mine, ids, bf16), partial(theirs, peer, ids, bf16)
    assert abs(float(my_step()) - float(peer_step())) < (2e-2 if bf16 else 1e-4), "not the same loss"
    a, b, ratios = paired(partial(train_seconds, peer, peer_step), partial(train_seconds, mine, my_step))
    what = f"training step, {name(mine, bf16)}, tokens/s"
    return [row(what, TOKENS / b, TOKENS / a, a / b, ">= 0.97", a / b >= 0.97, ratios)]


def activations(mine: Llama, peer: Any, bf16: bool) -> list[dict[str, Any]]:
    ids = tokens(mine)
    my_step, peer_step = partial(ours, mine, ids, bf16), partial(theirs, peer, ids, bf16)
    a, b = saved_bytes(mine, my_step), saved_bytes(peer, peer_step)
    mine.set_recompute("full")
    peer.train().gradient_checkpointing_enable({"use_reentrant": False})
    c, d = saved_bytes(mine, my_step), saved_bytes(peer, peer_step)
    mine.set_recompute("none")
    peer.eval().gradient_checkpointing_disable()
    return [
        row(f"saved activations, {name(mine, bf16)}, bytes a token", a, b, a / b, "<= 0.6", a / b <= 0.6),
        row(f"same, both recomputing layers, {name(mine, bf16)}", c, d, c / d, "<= 0.4", c / d <= 0.4),
    ]


def recomputation(mine: Llama, bf16: bool) -> list[dict[str, Any]]:
    """Selective against none: time and gradients."""
    step = partial(ours, mine, tokens(mine), bf16)

    def seconds(mode: Recompute) -> float:
        mine.set_recompute(mode)
        return train_seconds(mine, step)

    def gradients(mode: Recompute) -> list[torch.Tensor]:
        seconds(mode)
        return [p.grad.clone() for p in mine.parameters() if p.grad is not None]

    equal = all(torch.equal(a, b) for a, b in zip(gradients("none"), gradients("selective"), strict=True))
    a, b, ratios = paired(partial(seconds, "selective"), partial(seconds, "none"))
    mine.set_recompute("none")
    what = f"selective against none, {name(mine, bf16)}, seconds a step"
    return [
        row(what, a, b, a / b, "<= 1.08", a / b <= 1.08, ratios),
        row("same, gradients bit-equal", float(equal), 1.0, float(equal), "1", equal),
    ]


def layer_memory(mine: Llama) -> list[dict[str, Any]]:
    """Selective against none: what the layers keep, in bf16 as trained."""
    ids, config, kept = tokens(mine), mine.config, {}
    positions, documents = torch.arange(TOKENS), Documents.from_lengths([TOKENS])

    def layers_alone() -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            out: torch.Tensor = mine(ids, positions, documents, head=lambda hidden_TD, lm_head: hidden_TD.sum())
        return out

    modes: tuple[Recompute, ...] = ("none", "selective", "full")
    for mode in modes:
        mine.set_recompute(mode)
        kept[mode] = saved_bytes(mine, layers_alone)
    mine.set_recompute("none")
    outside = kept["full"] - config.num_hidden_layers * config.hidden_size * 4  # all but each layer's input
    a, b = kept["selective"] - outside, kept["none"] - outside
    what = f"selective against none, {name(mine, True)}, bytes a token of layers"
    return [row(what, a, b, a / b, "<= 0.7", a / b <= 0.7)]


class Numbers:
    def decode(self, ids: list[int], skip_special_tokens: bool = False) -> str:
        return ""


def generation(mine: Llama, peer: Any) -> list[dict[str, Any]]:
    """16 prompts of 16 to 128 tokens, 64 new tokens each, greedy; transformers pads them to the left."""
    ids, lengths = tokens(mine), [16 + 7 * index for index in range(16)]
    prompts = [ids[:length].tolist() for length in lengths]
    width, new = max(lengths), 64
    padded, mask = torch.zeros(16, width, dtype=torch.long), torch.zeros(16, width, dtype=torch.long)
    for index, prompt in enumerate(prompts):
        padded[index, width - len(prompt) :], mask[index, width - len(prompt) :] = torch.tensor(prompt), 1

    def my_answers() -> list[list[int]]:
        answers = generate(mine, prompts, [0] * 16, Numbers(), [], Sampling(new, temperature=0))
        return [answer.ids for answer in answers]

    def peer_answers() -> list[list[int]]:
        with torch.inference_mode():
            out = peer.generate(
                padded, attention_mask=mask, max_new_tokens=new, do_sample=False, pad_token_id=0, eos_token_id=-1
            )
        return [list(map(int, line)) for line in out[:, width:]]

    def seconds(answer: Callable[[], Any]) -> float:
        started = time.perf_counter()
        answer()
        return time.perf_counter() - started

    same = sum(a == b for a, b in zip(my_answers(), peer_answers(), strict=True)) / 16
    a, b, ratios = paired(partial(seconds, peer_answers), partial(seconds, my_answers))
    count = 16 * new
    return [
        row("batched generation, tokens/s", count / b, count / a, a / b, ">= 1", a / b >= 1, ratios),
        row("same, share of equal answers", same, 1.0, same, "1", same == 1),
    ]


def pair(config: LlamaConfig) -> tuple[Llama, Any]:
    """Our model and transformers', with the same random weights."""
    mine = weights.init_model(config, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        weights.save_model(mine.state_dict(), config, Path(folder) / "model")
        return mine, AutoModelForCausalLM.from_pretrained(Path(folder) / "model", dtype=torch.float32)


def main() -> None:
    mine, peer = pair(CONFIG)
    results = activations(mine, peer, False) + training(mine, peer, False) + recomputation(mine, False)
    results += layer_memory(mine) + generation(mine, peer)
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        print("This CPU has no bf16 units: bf16 is measured on a smaller model.")
        mine, peer = pair(SMALL)
    results += activations(mine, peer, True) + training(mine, peer, True)
    results += recomputation(mine, True)
    print(json.dumps({"name": "llama", "met": all(result["met"] for result in results), "results": results}))


if __name__ == "__main__":
    main()
