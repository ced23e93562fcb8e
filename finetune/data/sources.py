"""Where training data comes from: files, folders that `datasets` saved, and data sets on the Hugging Face hub."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from camelid.errors import UserError
from camelid.files.paths import suggest_path
from camelid.files.read import file_hash
from camelid.message import Conversation
from conversations.formats.readers import read_chats, read_conversations

HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")  # owner/name


def read_source(path: str) -> Iterator[Conversation]:
    """Conversations of a source, one after the other, so that a set larger than memory is no trouble.

    Raises:
        UserError: there is no such source, or a record in it is broken.
    """
    if Path(path).exists():
        yield from read_conversations(path)
        return
    _require_hub_name(path)
    from datasets import load_dataset

    try:
        records = load_dataset(path, split="train", streaming=True)
    except Exception as error:  # whatever the network or the hub does
        raise _unreachable(path, error) from None
    for index, record in enumerate(records):
        place = f"{path}[{index}]"
        for chat in read_chats(record, place):
            if chat.lost:
                raise UserError(f"{place}: not text alone ({', '.join(chat.lost)}); download and convert it first")
            yield chat.conversation


def source_fingerprint(path: str) -> str:
    """A hash of the content of a source.

    Raises:
        UserError: there is no such source.
    """
    if Path(path).is_file():
        return file_hash(path)
    if Path(path).is_dir():
        files = sorted(file for file in Path(path).rglob("*") if file.is_file())
        lines = "".join(f"{file.relative_to(path)} {file_hash(file)}\n" for file in files)
        return hashlib.sha256(lines.encode()).hexdigest()
    _require_hub_name(path)
    from huggingface_hub import HfApi

    try:
        return str(HfApi().dataset_info(path).sha)
    except Exception as error:  # whatever the network or the hub does
        raise _unreachable(path, error) from None


def _require_hub_name(path: str) -> None:
    if not HUB_NAME.fullmatch(path) or Path(path).suffix in (".json", ".jsonl", ".gz", ".parquet"):
        wanted = "; expected a file, a folder that datasets saved, or the name of a data set on the hub (owner/name)"
        raise UserError(f"data.train: {path}: no such file{suggest_path(path) or wanted}")


def _unreachable(path: str, error: Exception) -> UserError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    near = suggest_path(path)
    return UserError(f"data.train: {path}: no such file, and not found on the Hugging Face hub either ({reason}){near}")
