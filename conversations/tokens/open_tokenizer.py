"""The tokenizer of a model, by the name a user gives."""

from pathlib import Path
from typing import Any

from camelid.errors import UserError
from conversations.tokens.sentencepiece_model import has_sentencepiece_alone, open_sentencepiece_folder


def open_tokenizer(name: str | Path, place: str = "") -> Any:
    """Load the tokenizer of a model folder or of a model on the Hugging Face hub.

    Args:
        name: of the folder or the model.
        place: where the user named it, such as `--tokenizer x`, for the error; by default the name itself.

    Raises:
        UserError: there is none.
    """
    from transformers import AutoTokenizer

    if has_sentencepiece_alone(Path(name)):
        return open_sentencepiece_folder(Path(name))
    try:
        return AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        why = str(error).splitlines()[0]
        if not Path(name).exists():
            reason = f"no such model folder or hub model ({why})"
        elif (Path(name) / "tokenizer.json").exists():
            reason = f"no tokenizer could be loaded ({why})"
        else:  # transformers would name packages to install, which don't help
            reason = "no tokenizer could be loaded; put the model's tokenizer.json or tokenizer.model into the folder"
        raise UserError(f"{place or name}: {reason}") from None
