"""A tokenizer by the name a user gives on the command line."""

from pathlib import Path
from typing import Any

from camelid.errors import UserError


def open_tokenizer(name: str) -> Any:
    """Load the tokenizer of a model folder or of a model on the Hugging Face hub.

    Raises:
        UserError: there is none.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        kind = "no tokenizer could be loaded" if Path(name).exists() else "no such model folder or hub model"
        raise UserError(f"--tokenizer {name}: {kind} ({str(error).splitlines()[0]})") from None
