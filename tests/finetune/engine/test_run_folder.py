"""A run folder belongs to one recipe, one set of data and one base."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from camelid.config import from_tree
from camelid.errors import UserError
from finetune.engine.run_folder import claim_run_folder
from finetune.recipe import SftRecipe


def test_changed_recipe_data_or_base_is_refused(tmp_path: Path, toy_recipe: dict[str, Any], toy_data: Path) -> None:
    data = tmp_path / "data.jsonl"
    shutil.copy(toy_data, data)
    toy_recipe["data"]["train"] = [{"path": str(data)}]
    recipe = from_tree(SftRecipe, toy_recipe, "recipe")
    folder = tmp_path / "run"
    assert claim_run_folder(folder, recipe) is None
    assert claim_run_folder(folder, recipe) is None
    toy_recipe["optim"]["lr"] = 5.0
    with pytest.raises(UserError, match=r"differs in optim\.lr"):
        claim_run_folder(folder, from_tree(SftRecipe, toy_recipe, "recipe"))
    toy_recipe["optim"]["lr"] = recipe.optim.lr
    base = tmp_path / "base"
    shutil.copytree(toy_recipe["model"]["path"], base)
    toy_recipe["model"]["path"] = str(base)
    moved = from_tree(SftRecipe, toy_recipe, "recipe")
    assert claim_run_folder(tmp_path / "moved", moved) is None
    weights = load_file(base / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"] += 1e-3
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"a run from other weights \(.*base changed since\)"):
        claim_run_folder(tmp_path / "moved", moved)
    with data.open("a") as file:
        file.write("\n")
    with pytest.raises(UserError, match=r"data\.jsonl changed since"):
        claim_run_folder(folder, recipe)
