"""The tokenizer of a model, by the name a user gives."""

from pathlib import Path
from typing import Any

from camelid.errors import UserError


def open_tokenizer(name: str | Path, place: str = "") -> Any:
    """Load the tokenizer of a model folder or of a model on the Hugging Face hub.

    Args:
        name: of the folder or the model.
        place: where the user named it, such as `--tokenizer x`, for the error; by default the name itself.

    Raises:
        UserError: there is none.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        kind = "no tokenizer could be loaded" if Path(name).exists() else "no such model folder or hub model"
        raise UserError(f"{place or name}: {kind} ({str(error).splitlines()[0]})") from None
