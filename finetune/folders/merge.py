"""Model folders from two others: adapter into base, delta plus base, tuned minus base."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

from torch import Tensor

from camelid.errors import UserError
from camelid.files.read import read_json
from conversations.tokens.open_tokenizer import open_tokenizer
from finetune.folders import weights
from finetune.folders.fingerprint import require_base_of_adapter
from finetune.folders.generation_config import (
    end_ids_of_folder,
    end_ids_of_tokenizer,
    read_generation_config,
    tuned_generation_config,
)
from finetune.folders.vocabulary import grow_rows
from finetune.llama.config import LlamaConfig
from finetune.llama.model import Llama

TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "tokenizer.model",
    "chat_template.jinja",
)  # fmt: skip


def merge_adapter(base: str | Path, adapter: str | Path, output: str | Path) -> None:
    """Write the base with a PEFT adapter added into its weights, in the base's dtype; see `load_adapted`."""
    model = load_adapted(base, adapter, weights.load_model)
    own = end_ids_of_tokenizer(open_tokenizer(adapter)) if has_tokenizer(adapter) else []
    generation = tuned_generation_config(base, [*own, *end_ids_of_folder(adapter)])
    weights.save_model(model.state_dict(), model.config, output, generation=generation)
    copy_tokenizer([adapter, base], output)


def load_adapted(base: str | Path, adapter: str | Path, load: Callable[[Path], Llama]) -> Llama:
    """Load a base and add a PEFT adapter (LoRA, DoRA, rsLoRA) into its weights.

    Args:
        base: its folder.
        adapter: the PEFT folder.
        load: reads the base, which may take minutes, once it is known to be the adapter's.

    Raises:
        UserError: `adapter` is no PEFT folder, was trained on other weights than `base`, or doesn't fit it.
    """
    from peft import PeftConfig, PeftModel

    if not (Path(adapter) / "adapter_config.json").is_file():
        raise UserError(f"{adapter}: no adapter_config.json; expected a PEFT folder")
    require_base_of_adapter(adapter, base)
    model = load(Path(base))
    try:
        config = PeftConfig.from_pretrained(str(adapter))
        config.task_type = None  # "CAUSAL_LM" would have peft look for transformers' way to generate
        merged: Llama = PeftModel.from_pretrained(model, str(adapter), config=config).merge_and_unload()
    except (ValueError, RuntimeError) as error:
        raise UserError(f"{adapter}: does not fit {base}: {str(error).splitlines()[0]}") from None
    if merged.config.tie_word_embeddings:  # an adapter that trained the embedding has put another in its place
        merged.lm_head.weight = merged.model.embed_tokens.weight
    return merged


def require_base(delta: str | Path, base: str | Path, base_hash: str) -> None:
    """Refuse to add a delta to another base than it was made of; published ones may not say which that was.

    Raises:
        UserError: names the base it was made of.
    """
    path = Path(delta) / "delta.json"
    record = read_json(path) if path.is_file() else {}
    if record.get("base_sha256") not in (None, base_hash):
        raise UserError(f"{base}: other weights than those that {delta} was made of ({record.get('base')}); take these")


def combine_folders(
    base: str | Path, other: str | Path, output: str | Path, operation: Literal["add", "subtract"]
) -> None:
    """Write `other + base` (apply a delta, as Vicuna v0 was published) or `other - base` (make one).

    Works tensor by tensor, in the dtype of `other`. Where `other` has more tokens, the base's embedding and output
    layer are taken as grown by their mean row, as FastChat's make_delta does for Alpaca's extra token.

    Raises:
        UserError: the two are not of the same shape.
    """
    base_config, config = LlamaConfig.from_folder(base), LlamaConfig.from_folder(other)
    rows = config.vocab_size
    if replace(base_config, vocab_size=rows) != replace(
        config, max_position_embeddings=base_config.max_position_embeddings
    ):
        raise UserError(f"{other}: config.json describes another architecture than that of {base}")
    if rows < base_config.vocab_size:
        raise UserError(f"{other}: has {rows} tokens, fewer than the {base_config.vocab_size} of {base}")
    mine, theirs = weights.open_tensors(base), weights.open_tensors(other)
    sign = 1 if operation == "add" else -1
    source = {name: partial(_combine_tensor, name, read, mine, rows, sign) for name, read in theirs.items()}
    weights.write_weights(source, config, output, generation=read_generation_config(other))
    copy_tokenizer([other, base], output)


def _combine_tensor(name: str, read: Callable[[], Tensor], base: weights.LazyTensors, rows: int, sign: int) -> Tensor:
    if name not in base:
        raise UserError(f"tensor {name!r} is missing from the base")
    theirs, mine = read(), base[name]()
    if name in ("model.embed_tokens.weight", "lm_head.weight"):
        mine = grow_rows(mine, rows)
    return (theirs.float() + sign * mine.float()).to(theirs.dtype)


def copy_tokenizer(folders: list[str | Path], output: str | Path) -> None:
    """Copy the tokenizer's files from the first folder that has any."""
    for folder in folders:
        if has_tokenizer(folder):
            for path in _tokenizer_files(folder):
                shutil.copy2(path, output)
            return


def has_tokenizer(folder: str | Path) -> bool:
    """Whether a folder holds a tokenizer."""
    return any(path.name.startswith("tokenizer.") for path in _tokenizer_files(folder))


def _tokenizer_files(folder: str | Path) -> list[Path]:
    return [Path(folder) / name for name in TOKENIZER_FILES if (Path(folder) / name).is_file()]
