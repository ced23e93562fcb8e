"""What a decoder layer moves through memory besides its matrix products and attention, counted and timed on a CPU.

Run: python benchmarks/traffic.py. The last line is one JSON object. What is no matrix product takes a GPU as long as
its memory takes for the bytes, so bytes foretell time. A forward and a backward pass of one layer, of LLaMA's
proportions, are counted in bfloat16, as a GPU trains: each tensor that a kernel reads or writes, in eager code by a
dispatch mode, in compiled code by the loops that inductor makes of the same graph that it compiles for a GPU. `D` is
the width of the residual stream, so that a count holds for any width. Times are float32's, in which this processor
computes.

The peers are transformers' layer, eager and compiled by us, with the same recomputation, its adapters PEFT's.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch._inductor import config as inductor
from torch._inductor.scheduler import ExternKernelSchedulerNode, NopKernelSchedulerNode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.checkpoint import checkpoint
from transformers import LlamaConfig as PeerConfig
from transformers.models.llama.modeling_llama import LlamaDecoderLayer as PeerLayer
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.spread import spread
from finetune.engine.adapter import add_adapter
from finetune.llama.attention import Documents
from finetune.llama.config import LlamaConfig
from finetune.llama.model import Llama
from finetune.llama.recompute import Recompute, run_layer
from finetune.llama.rope import rotary_cos_sin
from finetune.optimizers import stochastic_adamw
from finetune.recipe import AdapterSection

TOKENS, ROUNDS = 1024, 5
# LLaMA 7B's proportions at an eighth of its width: feed-forward 2.6875 times as wide, 32 heads.
CONFIG = LlamaConfig(
    vocab_size=256, hidden_size=512, intermediate_size=1376, num_hidden_layers=1, num_attention_heads=32,
    max_position_embeddings=TOKENS,
)  # fmt: skip
ADAPTER = AdapterSection(kind="lora", rank=2)  # as 16 to the width of the 7B
PRODUCTS = ("mm", "addmm", "bmm", "_addmm_activation", "baddbmm")
ATTENTION = ("packed_attention", "flash_attention", "scaled_dot_product")
FREE = ("detach", "empty", "empty_like", "lift_fresh", "is_same_size", "new_empty")  # no kernel

Step = Callable[[], None]


@dataclass
class Count:
    """What one pass forwards and backwards moves.

    Attributes:
        bytes: read and written.
        kernels: that move them.
    """

    bytes: int = 0
    kernels: int = 0

    def per_token(self) -> float:
        """In widths of the residual stream."""
        return self.bytes / TOKENS / CONFIG.hidden_size


class _Eager(TorchDispatchMode):
    """Counts the operators of eager code."""

    def __init__(self) -> None:
        super().__init__()
        self.count = Count()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        views = func.is_view or name in FREE
        if not views and name not in PRODUCTS and not any(part in name for part in ATTENTION):
            read = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
            written = [each for each in tree_leaves(out) if isinstance(each, Tensor)]
            self.count.bytes += sum(each.numel() * each.element_size() for each in (*read, *written))
            self.count.kernels += 1
        return out


@contextmanager
def counting_eager() -> Iterator[Count]:
    with _Eager() as mode:
        yield mode.count


@contextmanager
def counting_compiled() -> Iterator[Count]:
    """Counts the loops that inductor makes; what it calls as it is, products and attention, left out."""
    count = Count()

    def look(nodes: Any) -> Any:
        for node in nodes:
            if not isinstance(node, (ExternKernelSchedulerNode, NopKernelSchedulerNode)):
                count.bytes += node.get_read_write_buffers_sizes()
                count.kernels += 1
        return nodes

    torch._dynamo.reset()
    with inductor.patch({"_post_fusion_custom_pass": look, "force_disable_caches": True}):
        yield count


def ours(recompute: Recompute, lora: bool, dtype: torch.dtype, compiled: bool) -> Step:
    """One pass forwards and backwards of our layer."""
    llama = Llama(CONFIG)
    llama.initialise(0)
    llama.to(dtype)
    if lora:
        add_adapter(llama, ADAPTER, "toy", seed=0)
    llama.set_recompute(recompute)
    llama.set_compiled(compiled)
    documents, autocast = Documents.from_lengths([TOKENS]), lora and dtype == torch.bfloat16
    cos_Td, sin_Td = rotary_cos_sin(CONFIG, documents.positions(), documents, dtype)
    x_TD, slope_TD = (torch.randn(TOKENS, CONFIG.hidden_size, dtype=dtype) for _ in range(2))
    x_TD.requires_grad_()

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            if compiled:
                out = llama.model.layers[0](x_TD, cos_Td, sin_Td, documents.on_device_alone(), compiled=recompute)
            else:
                out = run_layer(recompute, llama.model.layers[0], x_TD, cos_Td, sin_Td, documents)
        out.backward(slope_TD)

    return step


def theirs(recompute: Recompute, lora: bool, dtype: torch.dtype, compiled: bool) -> Step:
    """The same of transformers' layer, whose only recomputation is that of whole layers."""
    config = PeerConfig(**CONFIG.to_json())
    config._attn_implementation = "sdpa"
    layer: nn.Module = PeerLayer(config, 0).to(dtype)
    if lora:
        from peft import LoraConfig, get_peft_model

        names = list(ADAPTER.targets)
        layer = get_peft_model(layer, LoraConfig(r=ADAPTER.rank, lora_alpha=ADAPTER.alpha, target_modules=names))
        layer = layer.base_model.model
    layer.train()
    documents, autocast = Documents.from_lengths([TOKENS]), lora and dtype == torch.bfloat16
    cos_sin = tuple(LlamaRotaryEmbedding(config)(torch.empty(0, dtype=dtype), documents.positions()[None]))
    x_1TD, slope_1TD = (torch.randn(1, TOKENS, CONFIG.hidden_size, dtype=dtype) for _ in range(2))
    x_1TD.requires_grad_()

    def forward(x_1TD: Tensor) -> Any:
        if recompute == "full":
            return checkpoint(layer, x_1TD, position_embeddings=cos_sin, use_reentrant=False)
        return layer(x_1TD, position_embeddings=cos_sin)

    called = torch.compile(forward, fullgraph=True, dynamic=False) if compiled else forward

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            out = called(x_1TD)
        (out if isinstance(out, Tensor) else out[0]).backward(slope_1TD)

    return step


def counted(make: Callable[..., Step], recompute: Recompute, lora: bool, compiled: bool) -> Count:
    """Of a step in bfloat16."""
    with counting_compiled() if compiled else counting_eager() as count:
        step = make(recompute, lora, torch.bfloat16, compiled)
        count.bytes = count.kernels = 0  # what making it has cost
        step()
    return count


def optimizer_bytes() -> float:
    """What the stochastic AdamW moves for each weight: it, its gradient and both moments."""
    count = 1 << 20  # of a small matrix; seven numbers and two seeds are read for all of them
    weight, first, second = (torch.zeros(count, dtype=torch.bfloat16) for _ in range(3))
    gradient, numbers, seeds = torch.ones(count), torch.ones(7), torch.zeros(2, dtype=torch.int32)
    with counting_compiled() as found:
        stochastic_adamw._compiled(weight, gradient, first, second, numbers, seeds)
    return found.bytes / count


def row(what: str, value: float, bar: float | None, peer: float | None = None) -> dict[str, Any]:
    """A result; the bar is of the ratio if there is a peer."""
    judged = round(value if peer is None else value / peer, 3)
    return {
        "what": what,
        "ours": round(value, 2),
        "peer": None if peer is None else round(peer, 2),
        "ratio": None if peer is None else judged,
        "bar": "none" if bar is None else f"<= {bar:g}",
        "met": bar is None or judged <= bar,
    }


def counts() -> list[dict[str, Any]]:
    results = []
    for kind, lora, bytes_bar, kernels_bar in (("full", False, 170, 30), ("LoRA", True, 250, None)):
        mine = {mode: counted(ours, mode, lora, True) for mode in ("none", "selective", "full")}
        eager = {mode: counted(theirs, mode, lora, False) for mode in ("none", "full")}
        compiled = {mode: counted(theirs, mode, lora, True) for mode in ("none", "full")}
        chosen = mine["selective"]
        results.append(row(f"{kind}, selective: bytes a token / D", chosen.per_token(), bytes_bar))
        results.append(row(f"{kind}, selective: kernels", chosen.kernels, kernels_bar))
        for mode in ("none", "full"):
            own, about = mine[mode].per_token(), f"{kind}, recompute {mode}: bytes a token / D, against transformers"
            results.append(row(f"{about} eager", own, 0.5, eager[mode].per_token()))
            results.append(row(f"{about} compiled", own, 1.05, compiled[mode].per_token()))
        for result in results[-6:]:
            print(result, flush=True)
    results.append(row("stochastic AdamW: bytes a weight", optimizer_bytes(), 16))
    print(results[-1], flush=True)
    return results


def times() -> list[dict[str, Any]]:
    """Seconds of a step in float32; the sides take turns."""
    results = []
    for kind, lora in (("full", False), ("LoRA", True)):
        torch._dynamo.reset()
        sides = {
            "ours": ours("none", lora, torch.float32, True),
            "eager": theirs("none", lora, torch.float32, False),
            "compiled": theirs("none", lora, torch.float32, True),
        }
        seconds: dict[str, list[float]] = {side: [] for side in sides}
        for number in range(ROUNDS + 2):
            for side, step in sides.items():
                started = time.perf_counter()
                step()
                if number >= 2:
                    seconds[side].append(time.perf_counter() - started)
        own = statistics.median(seconds["ours"])
        for side in ("eager", "compiled"):
            what = f"{kind}, float32, seconds a step, against transformers {side}"
            ratios = [mine / peer for mine, peer in zip(seconds["ours"], seconds[side], strict=True)]
            result = row(what, own, None, statistics.median(seconds[side])) | {"spread": spread(ratios)}
            results.append(result | {"ours": round(own, 4), "peer": round(statistics.median(seconds[side]), 4)})
            print(results[-1], flush=True)
    return results


def main() -> None:
    results = counts() + times()
    print(json.dumps({"name": "traffic", "met": all(result["met"] for result in results), "results": results}))


if __name__ == "__main__":
    main()
