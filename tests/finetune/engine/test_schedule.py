"""The learning rate against transformers' schedulers, litgpt's and OLMo-core's."""

import __future__

import ast
import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import get_scheduler

from finetune.engine.schedule import learning_rate

UPDATES, PEAK = 103, 2e-5
WARMUP = {0.0: 0, 0.03: 4, 0.5: 52}  # ceil(ratio * 103), as the Hugging Face Trainer
PUBLISHED = (0.1, 1 / 30)  # LLaMA's final share of the peak, Code Llama's


@pytest.mark.parametrize(
    ("shape", "final_lr", "peer", "options"),
    [
        ("cosine", 0.0, "cosine", {}),
        ("linear", 0.0, "linear", {}),
        ("constant", 0.0, "constant_with_warmup", {}),
        *[("cosine", share, "cosine_with_min_lr", {"min_lr_rate": share}) for share in PUBLISHED],
        *[("linear", share, "polynomial", {"lr_end": PEAK * share, "power": 1.0}) for share in PUBLISHED],
    ],
)
@pytest.mark.parametrize("warmup_ratio", WARMUP)
def test_equals_transformers(shape: Any, final_lr: float, peer: str, options: Any, warmup_ratio: float) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=PEAK)
    scheduler = get_scheduler(peer, optimizer, WARMUP[warmup_ratio], UPDATES, options)
    for update in range(UPDATES):
        ours = learning_rate(update, UPDATES, PEAK, warmup_ratio, shape, final_lr)
        assert ours == pytest.approx(scheduler.get_last_lr()[0], rel=1e-12, abs=1e-20)
        optimizer.step()
        scheduler.step()


def test_few_updates_warm_up_as_long_as_is_asked() -> None:
    """3% of 40 updates are 2, of 1,000 they are 30; LLaMA 2's reward models warm up over 5 at the least."""
    rates = [learning_rate(update, 40, 1.0, 0.03, "constant", least_warmup=5) for update in range(7)]
    assert rates == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1, 1])
    assert learning_rate(6, 1000, 1.0, 0.03, "constant", least_warmup=5) == pytest.approx(0.2)


def published(file: Path, *names: str) -> dict[str, Any]:
    """Functions of another project's file, and the `get_lr` of its classes, by name, without what the file imports."""
    functions = []
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name in names:
            [method] = [each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "get_lr"]
            method.name = node.name
            functions.append(method)
        elif isinstance(node, ast.FunctionDef) and node.name in names:
            functions.append(node)
    found: dict[str, Any] = {"math": math, "cos": math.cos, "pi": math.pi}
    flags = __future__.annotations.compiler_flag  # annotations name what is not imported
    exec(compile(ast.Module(functions, []), str(file), "exec", flags), found)
    return found


@pytest.mark.slow
def test_equals_litgpt_and_olmo_core(tmp_path: Path) -> None:
    """The same number gives the same rate.

    litgpt counts its first update 0, as we do; OLMo-core counts it 1, so it is one update ahead on the same curve.
    """
    packages = ["litgpt==0.5.13", "ai2-olmo-core==3.0.0"]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path)]
    subprocess.run([*pip, *packages], check=True)
    litgpt = published(tmp_path / "litgpt" / "pretrain.py", "get_lr")["get_lr"]
    file = tmp_path / "olmo_core" / "optim" / "scheduler.py"
    olmo = published(file, "_linear_warmup", "CosWithWarmup", "LinearWithWarmup")
    for ratio, warmup in WARMUP.items():
        for share in PUBLISHED:
            settings = SimpleNamespace(t_max=None, alpha_f=share, warmup=warmup, warmup_min_lr=0.0)
            for update in range(UPDATES):
                cosine = learning_rate(update, UPDATES, PEAK, ratio, "cosine", share)
                linear = learning_rate(update, UPDATES, PEAK, ratio, "linear", share)
                assert cosine == pytest.approx(litgpt(PEAK, update, warmup, UPDATES, PEAK * share), rel=1e-12)
                assert cosine == pytest.approx(olmo["CosWithWarmup"](settings, PEAK, update, UPDATES), rel=1e-12)
                assert linear == pytest.approx(olmo["LinearWithWarmup"](settings, PEAK, update, UPDATES), rel=1e-12)
