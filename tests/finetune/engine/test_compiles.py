"""When layers are compiled, where the recipe leaves it open."""

from typing import Any

import pytest

from camelid.config import from_tree
from finetune.layout import Sharding, compiles
from finetune.recipe import SftRecipe
from tests.finetune.runs import variant


@pytest.mark.parametrize(
    ("changes", "sharding", "device", "expected"),
    [
        ({}, "none", "cuda", True),
        ({}, "fsdp2", "cuda", True),
        ({"run__precision": "bf16-pure"}, "none", "cuda", True),
        ({"adapter__kind": "lora"}, "none", "cuda", True),
        ({}, "none", "cpu", False),
        ({"run__precision": "fp32"}, "none", "cuda", False),
        ({"adapter__kind": "qlora"}, "none", "cuda", False),
        ({"adapter__kind": "dora"}, "none", "cuda", False),
        ({"run__tensor_parallel": 2}, "none", "cuda", False),
        ({}, "zero3", "cuda", False),
        ({"data__packing": False}, "none", "cuda", True),
        ({"model__compile": True}, "none", "cpu", True),
        ({"model__compile": False}, "none", "cuda", False),
    ],
)
def test_auto_compiles_where_it_pays(
    toy_recipe: dict[str, Any], changes: dict[str, Any], sharding: Sharding, device: str, expected: bool
) -> None:
    recipe = variant(toy_recipe, "run", **{"run__precision": "bf16", **changes})
    assert compiles(from_tree(SftRecipe, recipe, "recipe"), sharding, device) == expected
