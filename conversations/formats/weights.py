"""The one place that reads how much a turn counts for the loss, in each of the ways data sets say it."""

from camelid.errors import UserError
from camelid.files.read import Record
from camelid.message import check_weight

# `weight`: OpenAI's fine-tuning files; `loss_weight`: ms-swift; `train`, `training`: Axolotl's chat templates.
SHARES = ("weight", "loss_weight")
SWITCHES = ("train", "training")
WEIGHTS = frozenset((*SHARES, *SWITCHES))


def read_weight(item: Record, where: str) -> float | None:
    """The share of the loss that a record, a turn or a part of one says it has; None if it says nothing.

    Where it says so in several ways, the smallest counts: what is marked not to be learned stays so.

    Raises:
        UserError: a share is no number from 0 to 1, or a switch neither that nor true or false. `where` comes before
            the field's name.
    """
    if WEIGHTS.isdisjoint(item):
        return None
    found = [check_weight(item.get(name), f"{where}{name}") for name in SHARES]
    found += [_switch(item.get(name), f"{where}{name}") for name in SWITCHES]
    return smallest(*found)


def smallest(*weights: float | None) -> float | None:
    """The smallest weight that is said; None if none is."""
    return min((weight for weight in weights if weight is not None), default=None)


def _switch(value: object, where: str) -> float | None:
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        raise UserError(f"{where} must be true or false, found {value!r}")
    return check_weight(value, where)
