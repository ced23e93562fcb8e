"""Every combination of optimizer, precision, adapter, sharding, offload and tensor parallelism trains, or is refused by
the names of what does not go together before anything is loaded."""

import itertools
import re
import sys
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

import pytest

from camelid.app.cli import main
from camelid.config import from_tree
from camelid.errors import UserError
from finetune.combinations import exclusions
from finetune.layout import Layout, Sharding, check, read_launch_file
from finetune.llama.config import LlamaConfig
from finetune.optimizers.table import OPTIMIZERS
from finetune.recipe import SftRecipe, read_recipe
from tests.finetune.forked_runs import train_each
from tests.finetune.runs import deepspeed, metrics, run, variant, write

PRECISIONS, ADAPTERS = ("fp32", "bf16", "bf16-pure", "fp8"), ("none", "lora", "dora", "rslora", "qlora")
LAYOUTS = {
    "one": Layout(),
    "ddp": Layout(2),
    "tensor": Layout(2),
    "fsdp2": Layout(2, sharding="fsdp2"),
    "fsdp2-tensor": Layout(2, sharding="fsdp2"),
    "stages": Layout(2),
    "stages-tensor": Layout(4),
    "fsdp2-stages": Layout(4, sharding="fsdp2"),
    "context": Layout(2),
    "fsdp2-context": Layout(2, sharding="fsdp2"),
    "zero3-context": Layout(2, sharding="zero3"),
    "context-tensor": Layout(2),
    "context-stages": Layout(2),
    "fsdp2-offload": Layout(2, 1, "fsdp2", True, True),
    **{name: Layout(2, sharding=name) for name in ("zero1", "zero2", "zero3")},  # type: ignore[arg-type]
    "zero2-tensor": Layout(2, sharding="zero2"),
    "zero2-stages": Layout(2, sharding="zero2"),
    "zero2-one": Layout(1, sharding="zero2"),
    "zero1-offload": Layout(2, 1, "zero1", False, True),
    "zero2-offload": Layout(2, 1, "zero2", False, True),
    "zero3-offload": Layout(2, 1, "zero3", True, True),
}


@dataclass(frozen=True)
class Cell:
    """One combination."""

    layout: str
    optimizer: str
    precision: str
    adapter: str
    in_backward: bool = False
    compile: bool = False

    def recipe(self, toy: dict[str, Any]) -> dict[str, Any]:
        name = "-".join(map(str, (self.layout, self.optimizer, self.precision, self.adapter, self.in_backward)))
        ours = variant(
            toy, name, optim__optimizer=self.optimizer, optim__updates=2, optim__in_backward=self.in_backward
        )
        ours["optim"]["clip_norm"] = 0.0 if self.in_backward else 1.0
        ours["adapter"] = {"kind": self.adapter, "rank": 4}
        ours["run"] |= {"precision": self.precision, "tensor_parallel": 2 if "tensor" in self.layout else 1}
        ours["run"]["pipeline_parallel"] = 2 if "stages" in self.layout else 1
        ours["run"]["context_parallel"] = 2 if "context" in self.layout else 1
        if self.compile:
            ours["model"]["compile"] = True
        if self.layout.startswith("fsdp2"):
            ours["run"]["sharding"] = "fsdp2"
        return ours

    def refusal(self, toy: dict[str, Any]) -> str | None:
        try:
            check(from_tree(SftRecipe, self.recipe(toy), "cell"), replace(LAYOUTS[self.layout], device="cpu"))
        except UserError as error:
            return str(error)
        return None


CELLS = [
    Cell(*each) for each in itertools.product(LAYOUTS, OPTIMIZERS, PRECISIONS, ADAPTERS, (False, True))
]  # 3 optimizers: 23 x 3 x 4 x 5 x 2 = 2760


def test_every_cell_is_refused_by_name_or_taken(toy_recipe: dict[str, Any]) -> None:
    compiled = [replace(cell, compile=True) for cell in CELLS if cell.optimizer == "adamw" and not cell.in_backward]
    said = {cell: cell.refusal(toy_recipe) for cell in [*CELLS, *compiled]}
    refused = {cell: text for cell, text in said.items() if text is not None}
    assert 0 < len(refused) < len(said)
    for cell, text in refused.items():
        named = [text for axis in ("optim.optimizer", "run.precision", "adapter.kind", "run.sharding", "offload",
                 "run.tensor_parallel", "run.pipeline_parallel", "run.context_parallel", "optim.in_backward",
                 "processes", "device",
                 "model.compile") if f"{axis} " in text]  # fmt: skip
        assert len(named) >= 2 and "; " in text, (cell, text)
    for each in exclusions():  # no entry that nothing needs; those of a kind or a model are tested below
        assert {"kind", "tie_word_embeddings", "optim.neftune"} & set(each.choices) or any(
            each.why in text for text in refused.values()
        ), each


@pytest.mark.parametrize(
    ("kind", "adapter", "says"),
    [
        ("reward", {"kind": "lora"}, "kind = 'reward' does not go with adapter.kind = 'lora' (its score layer is new"),
        ("dpo", {"kind": "lora", "dropout": 0.1}, "kind = 'dpo' does not go with adapter.dropout > 0"),
    ],
)
def test_what_a_kind_excludes(toy_recipe: dict[str, Any], kind: str, adapter: dict[str, Any], says: str) -> None:
    ours = toy_recipe | {"kind": kind}
    assert read_recipe(write(ours)).kind == kind
    with pytest.raises(UserError) as caught:
        read_recipe(write(ours | {"adapter": adapter}))
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "cell",
    [
        Cell("one", "adamw-8bit", "bf16", "qlora"),
        Cell("one", "adamw", "bf16-pure", "dora"),
        Cell("one", "adamw", "bf16", "rslora", in_backward=True),
    ],
    ids=str,
)
def test_one_process_trains(toy_recipe: dict[str, Any], cell: Cell) -> None:
    if "qlora" in cell.adapter or "8bit" in cell.optimizer:
        pytest.importorskip("bitsandbytes")
    ours = cell.recipe(toy_recipe)
    assert run(ours) == 0
    assert [record["skipped"] for record in metrics(ours)] == [False, False]


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_cell_that_is_not_refused_trains(toy_recipe: dict[str, Any], layout: str) -> None:
    pytest.importorskip("bitsandbytes")
    environment: dict[str, str] = {}
    if layout.startswith("zero"):
        pytest.importorskip("deepspeed")
        environment = deepspeed(int(layout[4]), "cpu" if "offload" in layout else "none")
    elif layout == "fsdp2-offload":
        environment = {"FSDP_OFFLOAD_PARAMS": "true"}
    cells = [cell for cell in CELLS if cell.layout == layout and cell.refusal(toy_recipe) is None]
    if find_spec("torchao") is None:
        cells = [cell for cell in cells if cell.precision != "fp8"]
    if not cells:
        return
    recipes = [cell.recipe(toy_recipe) for cell in cells]
    assert train_each(recipes, LAYOUTS[layout].processes, **environment) == {}
    for ours in recipes:
        assert [record["skipped"] for record in metrics(ours)] == [False, False], ours["run"]["output"]


@pytest.mark.parametrize(
    ("changes", "launch", "says"),
    [
        ({"run__tensor_parallel": 8}, None, "run.tensor_parallel = 8 must divide the number of processes, 1"),
        ({"run__tensor_parallel": 4}, "ddp.yaml", "run.tensor_parallel = 4 goes with run.sharding=fsdp2, or with"),
        ({"run__pipeline_parallel": 3}, None, "run.pipeline_parallel = 3 must divide the number of processes, 1"),
        ({"run__pipeline_parallel": 4}, "ddp.yaml", "run.pipeline_parallel = 4 goes with run.sharding=fsdp2, or with"),
        ({"run__pipeline_parallel": 4}, "fsdp2.yaml", "run.pipeline_parallel = 4: the model has 2 layers"),
        ({"run__tensor_parallel": 8}, "fsdp2.yaml", "run.tensor_parallel = 8 must divide the 2 key and value heads"),
        ({"run__context_parallel": 3}, None, "run.context_parallel = 3 must divide the number of processes, 1"),
        ({"run__context_parallel": 8, "optim__neftune": 5}, "fsdp2.yaml", "context_parallel > 1 does not go with"),
        ({"optim__optimizer": "adamw-8bit"}, "fsdp2.yaml", "'adamw-8bit' does not go with run.sharding = 'fsdp2'"),
        ({"adapter__kind": "qlora"}, "deepspeed-zero3.yaml", "adapter.kind = 'qlora' does not go with run.sharding"),
        ({"run__precision": "bf16-pure"}, "deepspeed-zero2.yaml", "'bf16-pure' does not go with run.sharding"),
        ({"run__sharding": "zero3"}, "fsdp2.yaml", "run.sharding = 'zero3', but the launcher set up 'fsdp2'"),
        ({"run__sharding": "fsdp2"}, None, "fsdp2 needs more than one process"),
        ({"model__compile": True}, "deepspeed-zero3.yaml", "model.compile = true does not go with run.sharding"),
        ({"model__compile": True, "adapter__kind": "qlora"}, "one-gpu.yaml", "model.compile = true does not go with"),
        ({"optim__in_backward": True, "optim__clip_norm": 0.0}, "ddp.yaml", "optim.in_backward = true does not go"),
    ],
)  # fmt: skip
def test_the_plan_refuses_what_training_would(
    toy_recipe: dict[str, Any],
    changes: dict[str, Any],
    launch: str | None,
    says: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And so does the start with a launch file, before the launcher is called."""
    ours = variant(toy_recipe, "refused", **changes)
    command = ["finetune", str(write(ours)), *(["--launch", f"recipes/launch/{launch}"] if launch else [])]
    for more in [["--plan"], []] if launch and not re.search("divide the 2|has 2 layers", says) else [["--plan"]]:
        assert main([*command, *more]) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert says in line
    assert not Path(ours["run"]["output"]).exists()


def test_stages_can_not_share_an_embedding(toy_recipe: dict[str, Any]) -> None:
    recipe = from_tree(SftRecipe, Cell("stages", "adamw", "fp32", "none").recipe(toy_recipe), "recipe")
    check(recipe, Layout(2), LlamaConfig(32, 64, 128, 2, 4, 4))
    with pytest.raises(UserError, match=r"tie_word_embeddings = true does not go with run\.pipeline_par"):
        check(recipe, Layout(2), LlamaConfig(32, 64, 128, 2, 4, 4, tie_word_embeddings=True))


def test_a_model_that_does_not_divide_is_refused_at_the_start() -> None:
    recipe = from_tree(
        SftRecipe,
        {
            "model": {"path": "m"},
            "data": {"train": [{"path": "d"}], "template": "alpaca"},
            "optim": {"lr": 1.0},
            "run": {"output": "r", "tensor_parallel": 4},
        },
        "recipe",
    )
    check(recipe, Layout(4), LlamaConfig(32, 64, 128, 1, 4, 4))
    with pytest.raises(UserError, match=r"run\.tensor_parallel = 4 must divide the 2 key and value heads"):
        check(recipe, Layout(4), LlamaConfig(32, 64, 128, 1, 4, 2))
    with pytest.raises(UserError, match=r"run\.tensor_parallel = 4 must divide the 126 intermediate_size"):
        check(recipe, Layout(4), LlamaConfig(32, 64, 126, 1, 4, 4))


@pytest.mark.parametrize(
    ("package", "changes", "says"),
    [
        ("bitsandbytes", {"adapter__kind": "qlora"}, "adapter.kind = 'qlora' needs bitsandbytes: pip install"),
        ("bitsandbytes", {"optim__optimizer": "adamw-8bit"}, "optim.optimizer = 'adamw-8bit' needs bitsandbytes"),
        ("torchao", {"run__precision": "fp8"}, "run.precision = 'fp8' needs torchao: pip install camelid[fp8]"),
        ("no", {"run__trackers": ["tensorbord"]}, "run.trackers: 'tensorbord' is unknown; did you mean 'tensorboard'?"),
        ("comet_ml", {"run__trackers": ["comet_ml"]}, "run.trackers: 'comet_ml' is not installed: pip install"),
    ],
)  # fmt: skip
def test_a_missing_package_is_one_line_before_anything_is_loaded(
    toy_recipe: dict[str, Any],
    package: str,
    changes: dict[str, Any],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # what `find_spec` takes for not installed
    ours = variant(toy_recipe, "missing", **changes)
    assert run(ours) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert says in line
    assert not Path(ours["run"]["output"]).exists()


def test_missing_deepspeed_is_one_line(
    toy_recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "deepspeed", None)
    ours = variant(toy_recipe, "missing")
    assert main(["finetune", str(write(ours)), "--launch", "recipes/launch/deepspeed-zero2.yaml"]) == 2
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    assert run(ours) == 2
    assert capsys.readouterr().err.count("sharding by DeepSpeed needs deepspeed: pip install camelid[deepspeed]\n") == 2


def test_launch_files_say_what_is_offloaded(tmp_path: Path) -> None:
    assert read_launch_file("recipes/launch/deepspeed-zero3-offload.yaml") == Layout(8, 1, "zero3", True, True)
    own = tmp_path / "own.yaml"
    (tmp_path / "zero.json").write_text('{"zero_optimization": {"stage": 2, "offload_optimizer": {"device": "cpu"}}}')
    start = "num_processes: 4\nnum_machines: 2\n"
    own.write_text(f"{start}distributed_type: DEEPSPEED\ndeepspeed_config: {{deepspeed_config_file: zero.json}}\n")
    assert read_launch_file(own) == Layout(4, 2, "zero2", False, True)
    own.write_text(f"{start}distributed_type: FSDP\nfsdp_config: {{fsdp_offload_params: true}}\n")
    assert read_launch_file(own) == Layout(4, 2, "fsdp2", True, True)
    for text, says in (
        ("distributed_type: MEGATRON_LM\n", "distributed_type = 'MEGATRON_LM' is not supported"),
        ("distributed_type: DEEPSPEED\ndeepspeed_config: {zero_stage: 0}\n", "zero_stage 0 shards nothing"),
    ):
        own.write_text(start + text)
        with pytest.raises(UserError, match=says):
            read_launch_file(own)
    assert set(get_args(Sharding)) == {layout.sharding for layout in LAYOUTS.values()}
