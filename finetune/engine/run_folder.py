"""The run folder: what was asked, with what it was run, what came out, and the proof that it finished."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from camelid.config import to_tree
from camelid.errors import UserError
from camelid.files.paths import suggest_path
from camelid.files.read import file_hash, read_json
from camelid.files.tail import cut_after
from camelid.files.write import atomic_write, write_json
from finetune.data.sources import source_fingerprint, source_name
from finetune.folders.fingerprint import BASE, base_record, weights_fingerprint
from finetune.folders.hub import suggest_download
from finetune.ppo_section import PpoSection
from finetune.recipe import Recipe, StepSection, read_recipe

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
    "run.evaluate_every",
    "run.keep_checkpoints",
    "run.processes",
    "run.sharding",
    "run.tensor_parallel",
    "run.pipeline_parallel",
    "run.context_parallel",
    "run.trackers",
    "ppo.sampler",  # an address; who samples from the policy does not change what it is
}


# What makes a run longer. The order of the data does not depend on it, the learning rate of updates to come does.
LENGTH = ("optim.epochs", "optim.updates")


def claim_run_folder(folder: Path, recipe: Recipe) -> dict[str, Any] | None:
    """Write the resolved recipe and the hashes of data and base into the run folder, or check that they are the same.

    A finished run may be asked to go on: with more `optim.epochs` or `optim.updates` it does, from its last state. The
    recipe up to there is kept as `recipe-until-N.yaml`.

    Returns:
        The summary of a run that has already finished with this recipe, else None.

    Raises:
        UserError: the folder belongs to a run with another recipe, or data or base are missing or have changed.
    """
    data = {source_name(source): source_fingerprint(source) for source in recipe.data.train}
    if recipe.kind == "ppo":
        data |= _reward_fingerprints(recipe.ppo)
    path, summary = folder / "recipe.yaml", folder / "summary.json"
    if not path.is_file():
        write_json(folder / "data.json", data)
        write_json(folder / BASE, _base(recipe.model.path))
        _write_recipe(path, recipe)
        return None
    before = read_recipe(path)
    differing = sorted(_differences(to_tree(before), to_tree(recipe)))
    going_on = summary.is_file() and 0 < len(differing) == sum(name in LENGTH for name in differing)
    if differing and not going_on:
        raise _refusal(folder, f"with another recipe (it differs in {', '.join(differing)})")
    changed = sorted(name for name, digest in read_json(folder / "data.json").items() if data.get(name) != digest)
    if changed:
        raise _refusal(folder, f"on other data ({', '.join(changed)} changed since)")
    finished = dict(read_json(summary)) if summary.is_file() else None
    until = folder / f"recipe-until-{finished['updates'] if finished else 0}.yaml"
    if finished and not going_on and not until.is_file():
        return finished
    base = _base(recipe.model.path)
    if not (folder / BASE).is_file():  # of version 0.2 or before
        write_json(folder / BASE, base)
    if read_json(folder / BASE) != base:
        raise _refusal(folder, f"from other weights ({recipe.model.path} changed since)")
    if finished and going_on:
        _require_last_state(folder, before.optim, recipe.optim, finished["updates"])
        _write_recipe(until, before)
        _write_recipe(path, recipe)
    summary.unlink(missing_ok=True)  # after a kill between these lines, `until` says that it is to go
    return None


def _reward_fingerprints(section: PpoSection) -> dict[str, str]:
    """Hashes of what rewards are made of: a model that was trained anew, or a file that has changed, is another."""
    rewards = {f"ppo.rewards.{name}": where for name, where in section.rewards.items()}
    rewards |= {} if section.gold is None else {"ppo.gold": section.gold}
    found = {}
    for name, where in rewards.items():
        file = where.rpartition(":")[0]
        if Path(where).is_dir():
            found[name] = weights_fingerprint(where)
        elif file.endswith(".py") and Path(file).is_file():
            found[name] = file_hash(file)
    return found


def _base(path: str) -> dict[str, str]:
    """What `base.json` says of the base."""
    if not Path(path).is_dir():
        raise UserError(f"model.path = {path!r}: no such folder{suggest_path(path) or suggest_download(path)}")
    return base_record(path)


def _require_last_state(folder: Path, before: StepSection, now: StepSection, done: int) -> None:
    """Refuse to go on where the run would end earlier, or there is nothing to go on from."""
    more = now.epochs > before.epochs if now.updates is None else now.updates > done
    if not more or (before.updates is None) != (now.updates is None):
        raise _refusal(folder, f"that has finished after {done} updates and goes on only with more of what ended it")
    if not (folder / "checkpoints" / f"update-{done:08d}").is_dir():
        raise _refusal(folder, f"that has finished and whose last state, of update {done}, is gone")


def _refusal(folder: Path, what: str) -> UserError:
    return UserError(
        f"run.output = {str(folder)!r} holds a run {what}; choose another run.output, or remove that folder"
    )


def _write_recipe(path: Path, recipe: Recipe) -> None:
    with atomic_write(path) as file:
        yaml.safe_dump(to_tree(recipe), file, sort_keys=False, allow_unicode=True)


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
        cut_after(path, lambda record: bool(record["update"] <= update))


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
