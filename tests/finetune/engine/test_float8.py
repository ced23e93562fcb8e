"""Products in 8 bits against bfloat16's: as near as 8 bits come, and runs that end where those in bfloat16 do."""

import os
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from finetune.llama import recompute
from finetune.llama.attention import Documents
from finetune.llama.config import LlamaConfig
from finetune.llama.model import Llama
from tests.finetune.runs import ROOT, launch, metrics, run, tensors, variant

pytest.importorskip("torchao", reason="pip install camelid[fp8]")

CPU = torch.device("cpu")
TOY = LlamaConfig(
    vocab_size=128, hidden_size=64, intermediate_size=176, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=256,
)  # fmt: skip


def toy(float8: bool) -> Llama:
    from finetune.engine.float8 import use_float8

    llama = Llama(TOY).bfloat16()
    llama.initialise(0)
    if float8:
        use_float8(llama, CPU)
    return llama


def products(linear: nn.Module, x_TD: Tensor, slope_TF: Tensor) -> list[Tensor]:
    """The output, and the gradients of the input and of the weight."""
    x_TD = x_TD.clone().requires_grad_()
    out_TF = linear(x_TD)
    weight = linear.weight
    assert isinstance(weight, Tensor)
    return [out_TF.detach(), *torch.autograd.grad(out_TF, [x_TD, weight], slope_TF)]


def test_products_and_gradients_are_near() -> None:
    plain, narrow = toy(False), dict(toy(True).named_modules())
    found = 0
    for name, linear in plain.model.layers.named_modules():
        if not isinstance(linear, nn.Linear):
            continue
        random = torch.Generator().manual_seed(found)
        x_TD, slope_TF = (
            torch.randn(50, width, generator=random).bfloat16() for width in (linear.in_features, linear.out_features)
        )
        other = narrow[f"model.layers.{name}"]
        assert type(other) is not type(linear)
        pairs = zip(products(linear, x_TD, slope_TF), products(other, x_TD, slope_TF), (0.06, 0.08, 0.08), strict=True)
        for truth, ours, bar in pairs:
            assert 0 < float((ours.float() - truth.float()).norm() / truth.float().norm()) <= bar, name
        found += 1
    assert found == 14 and type(narrow["lm_head"]) is type(plain.lm_head)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["none", "selective", "full"])
def test_compiled_layers_make_one_graph(mode: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    torch._dynamo.reset()
    graphs = 0

    def backend(graph: Any, examples: Any) -> Callable[..., Any]:
        nonlocal graphs
        graphs += 1
        made: Callable[..., Any] = torch._dynamo.lookup_backend("aot_eager")(graph, examples)
        return made

    compiled = torch.compile(recompute._trace, fullgraph=True, dynamic=False, backend=backend)
    monkeypatch.setattr(recompute, "_compiled", compiled)
    llama = toy(True)
    llama.set_recompute(mode)
    for lengths in ([40, 24], [64], [1, 63]):
        documents = Documents.from_lengths(lengths).padded(4, 64)
        losses = []
        for switch in (False, True):
            llama.set_compiled(switch)
            out = llama(torch.arange(64), documents.positions(), documents).float().square().mean()
            out.backward()
            losses.append(float(out.detach()))
        assert losses[1] == pytest.approx(losses[0], rel=2e-2)
    assert graphs == 1


@pytest.mark.slow
def test_the_loss_of_200_updates(toy_recipe: dict[str, Any]) -> None:
    """In one process, and in two that share the weights."""
    changes = {"optim__updates": 200, "run__checkpoint_every": 200}
    ours, truth = (variant(toy_recipe, name, **changes, run__precision=name) for name in ("fp8", "bf16-pure"))
    assert run(ours) == run(truth) == 0
    assert tensors(ours).keys() == tensors(truth).keys()
    cut = variant(ours, "cut", run__sharding="fsdp2")
    result = launch([cut], 2, PYTHONPATH=os.pathsep.join([str(ROOT), *sys.path]))  # torchao, wherever it was found
    assert result.returncode == 0, result.stderr[-3000:]
    for each in (ours, cut):
        pairs = [(mine["loss"], theirs["loss"]) for mine, theirs in zip(metrics(each), metrics(truth), strict=True)]
        assert len(pairs) == 200 and pairs[-1][1] < 0.7 * pairs[0][1]
        for start in range(0, 200, 20):  # single updates are a few dozen answers
            mine, theirs = (sum(column) for column in zip(*pairs[start : start + 20], strict=True))
            assert mine == pytest.approx(theirs, rel=2e-2), start
