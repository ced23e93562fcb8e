"""`generation_config.json`: how a model is to be sampled and which tokens end a text; what transformers and vLLM go by.

A base ends texts with one token, a chat template ends answers with another. A tuned model stops at both.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from camelid.errors import UserError
from camelid.files.read import read_json
from conversations.tokens.span import ChatFormat
from conversations.tokens.template import template_from_tokenizer

NAME = "generation_config.json"
ABOUT_THE_FILE = ("_from_model_config", "transformers_version")  # how it came about, not how to sample


def read_generation_config(folder: str | Path) -> dict[str, Any]:
    """The sampling defaults of a folder of a model or an adapter.

    Returns:
        The file's fields; `eos_token_id` names the tokens of both `generation_config.json` and `config.json`.
    """
    paths = (Path(folder) / name for name in (NAME, "config.json"))
    settings, config = (read_json(path) if path.is_file() else {} for path in paths)
    kept = {key: value for key, value in settings.items() if key not in ABOUT_THE_FILE}
    return add_end_ids(kept, _as_list(config.get("eos_token_id")))


def end_ids_of_folder(folder: str | Path) -> list[int]:
    """The tokens that a folder's two files name."""
    return _as_list(read_generation_config(folder).get("eos_token_id"))


def add_end_ids(settings: dict[str, Any], end_ids: Iterable[int]) -> dict[str, Any]:
    """The same settings with these ends, too, behind those that are there; a single one is written as a number."""
    ends = list(dict.fromkeys([*_as_list(settings.get("eos_token_id")), *end_ids]))
    return {**settings, "eos_token_id": ends[0] if len(ends) == 1 else ends} if ends else settings


def tuned_generation_config(base: str | Path, end_ids: Iterable[int]) -> dict[str, Any]:
    """A base's sampling defaults for a model tuned from it.

    Args:
        base: model folder.
        end_ids: tokens that end its answers; they come before the base's own, for some readers know only the first.
    """
    settings = read_generation_config(base)
    base_ends = _as_list(settings.pop("eos_token_id", None))
    return add_end_ids(settings, [*end_ids, *base_ends])


def find_end_ids(tokenizer: Any, template: ChatFormat | None) -> list[int]:
    """Tokens that end an answer: the template's end of turn, if there is one, then the tokenizer's end of text."""
    stop = template.stop if template else ()
    ids = [*tokenizer.convert_tokens_to_ids(list(stop)), tokenizer.eos_token_id]
    unknown = tokenizer.unk_token_id if tokenizer.unk_token not in stop else None
    return [token for token in dict.fromkeys(ids) if token is not None and token != unknown]


def end_ids_of_tokenizer(tokenizer: Any) -> list[int]:
    """The same of a tokenizer whose chat template, if it has one, may be any."""
    try:
        return find_end_ids(tokenizer, template_from_tokenizer(tokenizer))
    except UserError:  # no template, or one whose answers can't be told from the rest
        return [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]


def end_texts_with_turns(tokenizer: Any, template: ChatFormat) -> None:
    """Make the template's end of turn the tokenizer's end of text, in place, where the template itself does not ask."""
    if "eos_token" not in template.jinja:
        tokenizer.eos_token = template.stop[0]


def _as_list(ids: int | list[int] | None) -> list[int]:
    return [] if ids is None else [ids] if isinstance(ids, int) else ids
