"""What a recipe's field must be, said as one line."""

from camelid.errors import UserError


def require(ok: bool, name: str, value: object, rule: str) -> None:
    """Refuse a field's value.

    Args:
        ok: whether it may stay.
        name: of the field, as the recipe has it (`optim.lr`).
        value: what it holds.
        rule: what it must be.

    Raises:
        UserError: it may not.
    """
    if not ok:
        raise UserError(f"{name} = {value!r}: {rule}")
