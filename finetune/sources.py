"""Where training data comes from: files, folders that `datasets` saved, and data sets on the Hugging Face hub."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from camelid.errors import UserError
from camelid.jsonl import file_hash
from conversations.message import Conversation
from conversations.readers import READERS, detect, read_conversations

HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")  # owner/name
NEXT = "expected a file, a folder that datasets saved, or the name of a data set on the hub (owner/name)"


def read_source(path: str) -> Iterator[Conversation]:
    """Conversations of a source, one after the other, so that a set larger than memory is no trouble.

    Raises:
        UserError: there is no such source, or a record in it is broken.
    """
    if Path(path).is_file():
        yield from read_conversations(path)
        return
    for index, record in enumerate(_data_set(path)):
        place = f"{path}[{index}]"
        yield READERS[detect(record, place)](record, place)


def fingerprint(path: str) -> str:
    """A hash of the content of a source.

    Raises:
        UserError: there is no such source.
    """
    if Path(path).is_file():
        return file_hash(path)
    if Path(path).is_dir():
        _require_saved(path)
        files = sorted(file for file in Path(path).rglob("*") if file.is_file())
        lines = "".join(f"{file.relative_to(path)} {file_hash(file)}\n" for file in files)
        return hashlib.sha256(lines.encode()).hexdigest()
    _require_hub_name(path)
    from huggingface_hub import HfApi

    try:
        return str(HfApi().dataset_info(path).sha)
    except Exception as error:  # whatever the network or the hub does
        raise _unreachable(path, error) from None


def _data_set(path: str) -> Iterator[dict[str, Any]]:
    from datasets import DatasetDict, load_dataset, load_from_disk

    if Path(path).is_dir():
        _require_saved(path)
        data = load_from_disk(path)
        if isinstance(data, DatasetDict):
            if "train" not in data:
                raise UserError(f"data.train: {path}: has no split 'train', but {', '.join(data)}")
            data = data["train"]
        yield from data
        return
    _require_hub_name(path)
    try:
        data = load_dataset(path, split="train", streaming=True)
    except Exception as error:  # whatever the network or the hub does
        raise _unreachable(path, error) from None
    yield from data


def _require_saved(path: str) -> None:
    if not any((Path(path) / name).is_file() for name in ("dataset_info.json", "dataset_dict.json")):
        raise UserError(f"data.train: {path}: a folder, but not one that datasets' save_to_disk made")


def _require_hub_name(path: str) -> None:
    if not HUB_NAME.fullmatch(path) or Path(path).suffix in (".json", ".jsonl"):
        raise UserError(f"data.train: {path}: no such file; {NEXT}")


def _unreachable(path: str, error: Exception) -> UserError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return UserError(f"data.train: {path}: no such file, and not found on the Hugging Face hub either ({reason})")
