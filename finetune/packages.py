"""Packages that a recipe wants and that do not come with Camelid."""

from importlib.util import find_spec

from camelid.errors import UserError, suggest_name
from finetune.optimizers.table import OPTIMIZERS
from finetune.recipe import Recipe


def require_packages(recipe: Recipe, deepspeed: bool) -> None:
    """Refuse a run whose packages are not here, before anything is loaded.

    Args:
        recipe: its optimizer, adapter and trackers may want packages.
        deepspeed: whether DeepSpeed spreads the model.

    Raises:
        UserError: names the field and the command that installs the package.
    """
    if deepspeed:
        _require("deepspeed", "sharding by DeepSpeed", "camelid[deepspeed]")
    needed = OPTIMIZERS[recipe.optim.optimizer].needs
    if needed is not None:
        _require(needed, f"optim.optimizer = {recipe.optim.optimizer!r}", "camelid[quant]")
    if recipe.adapter.kind == "qlora":
        _require("bitsandbytes", "adapter.kind = 'qlora'", "camelid[quant]")
    if recipe.run.precision == "fp8":
        _require("torchao", "run.precision = 'fp8'", "camelid[fp8]")
    _require_trackers(recipe.run.trackers)


def _require_trackers(names: tuple[str, ...]) -> None:
    if not names:
        return
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    known = {str(name): str(name) for name in LOGGER_TYPE_TO_CLASS}
    here = {str(name) for name in get_available_trackers()}
    for name in names:
        if name not in known:
            raise UserError(f"run.trackers: {name!r} is unknown{suggest_name(name, known)}")
        if name not in here:
            install = "camelid[track]" if name in ("tensorboard", "wandb") else name
            raise UserError(f"run.trackers: {name!r} is not installed: pip install {install}, or leave it out")


def _require(package: str, wanted_by: str, install: str) -> None:
    if find_spec(package) is None:
        raise UserError(f"{wanted_by} needs {package}: pip install {install}")
