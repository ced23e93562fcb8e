"""Compiled layers: the same numbers, one graph for all batches of a shape, and as much kept as in eager code."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from finetune.data.batches import BatchShape, MicroBatch, make_micro_batch
from finetune.data.packing import pack_documents
from finetune.data.token_data import TokenData
from finetune.data.token_store import TokenStore
from finetune.engine.adapter import add_adapter
from finetune.llama import recompute
from finetune.llama.attention import Documents
from finetune.llama.config import LlamaConfig
from finetune.llama.model import Llama
from finetune.llama.recompute import Recompute
from finetune.recipe import AdapterSection

TOY = LlamaConfig(
    vocab_size=128, hidden_size=64, intermediate_size=172, num_hidden_layers=3, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=256,
)  # fmt: skip
SLOW = pytest.mark.slow
MODES = [pytest.param("none", marks=SLOW), "selective", pytest.param("full", marks=SLOW)]
BATCHES = ([40, 28, 60], [128], [1] * 100 + [28], [64, 64], [5, 3, 120])


def gradients(model: nn.Module, llama: Llama, lengths: list[int], compiled: bool) -> list[Tensor]:
    llama.set_compiled(compiled)
    model.zero_grad()
    documents = Documents.from_lengths(lengths)
    documents = Documents(documents.lengths, documents.starts, 128)
    ids = torch.arange(128) * 7 % TOY.vocab_size
    model(ids, documents.positions(), documents).square().mean().backward()
    return [weight.grad.clone() for weight in model.parameters() if weight.grad is not None]


def make(adapter: bool) -> tuple[nn.Module, Llama]:
    llama = Llama(TOY)
    llama.initialise(0)
    model = add_adapter(llama, AdapterSection(kind="lora", rank=4), "toy", seed=0) if adapter else llama
    if adapter:  # their second matrices begin at zero, which would hide the first ones' gradients
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if "lora_B" in name:
                    weight.normal_(0, 0.1, generator=torch.Generator().manual_seed(1))
    return model, llama


def batches(count: int) -> Iterator[MicroBatch]:
    """Micro-batches as the trainer lays them out, filled up to one shape: packed sequences, single documents."""
    random = np.random.default_rng(0)
    lengths = random.integers(2, 129, 3 * count)
    shape, device = BatchShape(128, 128), torch.device("cpu")
    ids = random.integers(0, TOY.vocab_size, lengths.sum()).astype(np.int32)
    store = TokenStore(ids, np.ones(ids.size, dtype=np.float32), 0)
    everything = np.arange(lengths.size)
    data = TokenData((store,), lengths.cumsum() - lengths, lengths, np.arange(9), everything, everything[:0], [])
    packed = pack_documents(lengths, 128)
    for number in range(count):
        row = packed[number % len(packed)] if number % 2 else everything[[number]]
        yield make_micro_batch(data, [row] if number % 50 else [], device, shape)  # an update's last may be empty


@pytest.fixture(params=["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def graphs(request: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many graphs were made since the test began; a graph break is an error."""
    torch._dynamo.reset()
    made = 0

    def backend(graph: Any, examples: Any) -> Any:
        nonlocal made
        made += 1
        return torch._dynamo.lookup_backend(request.param)(graph, examples)

    compiled = torch.compile(recompute._trace, fullgraph=True, dynamic=False, backend=backend)
    monkeypatch.setattr(recompute, "_compiled", compiled)
    return lambda: made


@pytest.mark.parametrize("mode", ["none", "selective", "full"])
@pytest.mark.parametrize("adapter", [False, True])
def test_compiled_equals_eager_with_one_graph(graphs: Callable[[], int], mode: Recompute, adapter: bool) -> None:
    """To 1e-5 of eager code in float64, or as near as eager code in float32 is, whose adapters' are 1.1e-5 away."""
    model, llama = make(adapter)
    exact, exact_llama = make(adapter)
    exact.double()
    for each in (llama, exact_llama):
        each.set_recompute(mode)
    for lengths in BATCHES:
        truth = gradients(exact, exact_llama, lengths, False)
        eager, compiled = (gradients(model, llama, lengths, switch) for switch in (False, True))
        assert len(truth) == len(eager) == len(compiled) > 0
        for true, theirs, ours in zip(truth, eager, compiled, strict=True):
            off, bound = ((true - each.double()).norm() for each in (ours, theirs))
            assert off <= max(1e-5 * true.norm(), 1.5 * bound) + 1e-12
    llama.model.layers, llama.config = llama.model.layers[:1], replace(TOY, num_hidden_layers=1)  # its batches vary
    for batch in batches(200):
        model(batch.input_ids, batch.positions, batch.documents, head=lambda hidden_TD, _: hidden_TD)
    assert graphs() == 1  # with an adapter, too: peft lets the embedding's output have a gradient


@pytest.mark.parametrize("mode", MODES)
def test_layers_that_differ_make_a_graph_for_each_kind(graphs: Callable[[], int], mode: Recompute) -> None:
    """Norms of heads; a window in the second layer, no rotation in the third: three kinds."""
    kinds = ("full_attention", "sliding_attention", "full_attention")
    smollm = replace(TOY, model_type="smollm3", sliding_window=9, layer_types=kinds, no_rope_layers=(1, 1, 0))
    for config, expected in ((smollm, 3), (replace(TOY, model_type="qwen3", attention_bias=True), 1)):
        before = graphs()
        llama = Llama(config)
        llama.initialise(0)
        llama.set_recompute(mode)
        for lengths in BATCHES:
            eager, compiled = (gradients(llama, llama, lengths, switch) for switch in (False, True))
            assert len(eager) == len(list(llama.parameters()))
            whole = sum(float(each.norm()) for each in eager)
            for theirs, ours in zip(eager, compiled, strict=True):
                assert float((theirs - ours).norm()) <= 1e-5 * float(theirs.norm()) + 1e-7 * whole
        assert graphs() - before == expected


def kept_bytes(llama: Llama, compiled: bool) -> int:
    """Bytes that a forward pass leaves for the backward pass, the weights aside."""
    weights = {weight.untyped_storage().data_ptr() for weight in llama.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    llama.set_compiled(compiled)
    documents = Documents.from_lengths([40, 28, 60])
    x_TD = torch.randn(128, TOY.hidden_size, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = llama(torch.arange(128), documents.positions(), documents, head=lambda hidden_TD, _: hidden_TD)
    del x_TD, out
    return sum(kept.values())


@pytest.mark.parametrize("mode", ["selective", "full"])
def test_compiled_layers_keep_no_more(graphs: Callable[[], int], mode: Recompute) -> None:
    """Eager code's hooks hide what it makes again, so the bound is counted: what `memory.activation_bytes` says."""
    from finetune.memory import activation_bytes

    _, llama = make(False)
    llama.set_recompute(mode)
    kept, _ = activation_bytes(TOY, mode, 4, 4)
    ends = 6 * TOY.hidden_size * 4  # embedding, cosines, sines, the last norm
    assert kept_bytes(llama, True) <= 128 * (TOY.num_hidden_layers * kept * 1.05 + ends)
