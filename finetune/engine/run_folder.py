"""The run folder: what was asked, with what it was run, what came out, and the proof that it finished."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from camelid.config import to_tree
from camelid.errors import UserError
from camelid.files.read import read_json, read_jsonl
from camelid.files.write import atomic_write, dumps, write_json
from finetune.data.sources import source_fingerprint, source_name
from finetune.recipe import Recipe, read_recipe

PACKAGES = (
    "camelid",
    "torch",
    "transformers",
    "accelerate",
    "peft",
    "tokenizers",
    "datasets",
    "deepspeed",
    "flash-attn",
)

# What may change when a run goes on, because the result does not depend on it: layout, pace of saving, reporting.
FREE = {
    "model.recompute",
    "optim.micro_batch",
    "optim.max_skipped",
    "run.checkpoint_every",
    "run.checkpoint_minutes",
    "run.evaluate_every",
    "run.keep_checkpoints",
    "run.processes",
    "run.sharding",
    "run.tensor_parallel",
    "run.trackers",
}


def claim_run_folder(folder: Path, recipe: Recipe) -> dict[str, Any] | None:
    """Write the resolved recipe and the data's hashes into the run folder, or check that those there are the same.

    Returns:
        The summary of a run that has already finished with this recipe, else None.

    Raises:
        UserError: the folder belongs to a run with another recipe, or a data file is missing or has changed.
    """
    data = {source_name(source): source_fingerprint(source) for source in recipe.data.train}
    tree = to_tree(recipe)
    path = folder / "recipe.yaml"
    if path.is_file():
        differing = sorted(_differences(to_tree(read_recipe(path)), tree))
        if differing:
            raise UserError(
                f"run.output = {str(folder)!r} holds a run with another recipe (it differs in {', '.join(differing)}); "
                "choose another run.output, or remove that folder"
            )
        changed = sorted(name for name, digest in read_json(folder / "data.json").items() if data.get(name) != digest)
        if changed:
            raise UserError(
                f"run.output = {str(folder)!r} holds a run on other data ({', '.join(changed)} changed since); "
                "choose another run.output, or remove that folder"
            )
    else:
        write_json(folder / "data.json", data)
        with atomic_write(path) as file:
            yaml.safe_dump(tree, file, sort_keys=False, allow_unicode=True)
    summary = folder / "summary.json"
    return dict(read_json(summary)) if summary.is_file() else None


def write_environment(folder: Path, processes: int, distributed: str, device: str) -> None:
    """Record versions, git revision and hardware layout as `environment.json`."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    write_json(
        folder / "environment.json",
        {
            "versions": versions,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "git_revision": _git_revision(),
            "processes": processes,
            "distributed": distributed,
            "device": device,
        },
    )


def cut_metrics(path: Path, update: int) -> None:
    """Drop metrics of updates after the checkpoint that a run resumes from; they are made again."""
    if path.is_file():
        kept = [record for _, record in read_jsonl(path) if record["update"] <= update]
        with atomic_write(path) as file:
            file.writelines(dumps(record) + "\n" for record in kept)


def _differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    names = []
    for key in old.keys() | new.keys():
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            names += _differences(before, after, f"{prefix}{key}.")
        elif before != after and f"{prefix}{key}" not in FREE:
            names.append(f"{prefix}{key}")
    return names


def flatten_recipe(tree: dict[str, Any], prefix: str = "") -> dict[str, str | int | float | bool]:
    """A nested recipe as `section.key: value`, for trackers, which take scalars only."""
    flattened: dict[str, str | int | float | bool] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flattened |= flatten_recipe(value, f"{prefix}{key}.")
        else:
            flattened[f"{prefix}{key}"] = value if isinstance(value, str | int | float | bool) else str(value)
    return flattened


def _git_revision() -> str | None:
    here = Path(__file__).parent
    result = subprocess.run(
        ["git", "-C", str(here), "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return result.stdout.strip() or None
