"""Where training data comes from: files, folders of shards or that `datasets` saved, data sets on the hub."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from camelid.errors import UserError
from camelid.files.paths import suggest_path
from camelid.files.read import Record, file_hash
from finetune.data.dataset_folder import SUFFIXES, is_corpus, split_files, text_files
from finetune.data.forms.table import FORMS
from finetune.data.shards import shard_files, shard_hash
from finetune.recipe import DataSource

HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")  # owner/name


def read_source(source: DataSource) -> Iterator[Any]:
    """What a source holds in its form, one after the other, so that a set larger than memory is no trouble.

    Returns:
        Conversations of `chat`, texts of `text`: items of `finetune.data.forms`.

    Raises:
        UserError: there is no such source, or a record in it is broken, of another form, or not text alone.
    """
    form = FORMS[source.form]
    for place, record in source_records(source):
        yield from form.read(record, place)


def read_named_texts(source: DataSource) -> Iterator[tuple[str, str]]:
    """The texts of a source of that form, each with where it is from: its record's `source`, or else the file.

    Raises:
        UserError: as `read_source`.
    """
    here = Path(source.path).exists()
    if source_shards(source):
        raise UserError(
            f"{source.path}: token shards, of which no bytes are known; name the texts that they were made of"
        )
    for part in _parts(source) if here else [None]:
        for place, record in _hub_records(source) if part is None else _scan(source, part):
            named = record.get("source")
            for text in FORMS["text"].read(record, place):
                yield named if isinstance(named, str) else str(part or source.path), text


def source_shards(source: DataSource) -> list[Path]:
    """The `.idx` files of a source that is tokens already; none of any other.

    Raises:
        UserError: it is of a form whose documents carry weights, which shards have no room for.
    """
    shards = shard_files(Path(source.path))
    if shards and source.form != "text":
        raise UserError(f"data.train: {source.path}: token shards hold texts; give the source `form: text`")
    return shards


def shard_name(source: DataSource, shard: Path) -> str:
    """A shard's name within its source."""
    path = Path(source.path)
    return str(shard.relative_to(path)) if path.is_dir() else shard.name


def source_records(source: DataSource) -> Iterator[tuple[str, Record]]:
    """Every record of a source with its place, as it stands there.

    Raises:
        UserError: there is no such source, or a record cannot be read.
    """
    return _local_records(source) if Path(source.path).exists() else _hub_records(source)


def check_sources(sources: Sequence[DataSource]) -> None:
    """Read every record that is on this machine, for its errors alone: seconds, where tokenising takes an hour.

    Raises:
        UserError: as `read_source`.
    """
    for source in sources:
        if Path(source.path).exists() and not source_shards(source):
            for _ in read_source(source):
                pass


def source_name(source: DataSource) -> str:
    """What tells a source from others."""
    part = ", ".join(name for name in (source.config, source.split) if name is not None)
    return f"{source.path} ({part})" if part else source.path


def source_fingerprint(source: DataSource) -> str:
    """A hash of the content of a source, and of the part of it that is meant.

    Raises:
        UserError: there is no such source, or no such part of it.
    """
    path, split = Path(source.path), source.split
    if shards := source_shards(source):
        return _hash_lines([f"{shard_name(source, shard)} {shard_hash(shard)}" for shard in shards])
    if not path.exists():
        content = _hub_revision(source)
    else:
        _parts(source)  # whether the part is there
        content = _content_hash(path)
        if split is None and (path / "dataset_dict.json").is_file():
            split = "train"  # until 0.2.0 all splits were meant, and are what older token caches hold
    return _hash_lines([content, split or "", source.config or ""]) if split or source.config else content


def _hub_revision(source: DataSource) -> str:
    _require_hub_name(source)
    from huggingface_hub import HfApi

    try:
        return str(HfApi().dataset_info(source.path).sha)
    except Exception as error:  # whatever the network or the hub does
        raise _unreachable(source.path, error) from None


def _content_hash(path: Path) -> str:
    if path.is_file():
        return file_hash(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return _hash_lines([f"{file.relative_to(path)} {file_hash(file)}" for file in files])


def _hash_lines(lines: Sequence[str]) -> str:
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


def _parts(source: DataSource) -> list[Path]:
    """Files and folders to read of a source that is on this machine."""
    path = Path(source.path)
    if path.is_dir():
        if source.form != "chat" and is_corpus(path):
            path = path / "data"
        texts = text_files(path) if source.form != "chat" and source.split is None and source.config is None else []
        return texts or split_files(path, source.split, source.config)
    if source.split is not None or source.config is not None:
        raise UserError(f"data.train: {path}: is one file; only folders and data sets have a split or a config")
    return [path]


def _local_records(source: DataSource) -> Iterator[tuple[str, Record]]:
    for part in _parts(source):
        yield from _scan(source, part)


def _scan(source: DataSource, part: Path) -> Iterator[tuple[str, Record]]:
    for place, record in FORMS[source.form].scan(part):
        if isinstance(record, UserError):
            raise record
        yield place, record


def _hub_records(source: DataSource) -> Iterator[tuple[str, Record]]:
    _require_hub_name(source)
    from datasets import load_dataset

    try:
        records = load_dataset(source.path, source.config, split=source.split or "train", streaming=True)
    except ValueError as error:  # an unknown split or configuration; it lists those there are
        raise UserError(f"data.train: {source.path}: {' '.join(str(error).splitlines()[:2])}") from None
    except Exception as error:  # whatever the network or the hub does
        raise _unreachable(source.path, error) from None
    for index, record in enumerate(records):
        yield f"{source.path}[{index}]", record


def _require_hub_name(source: DataSource) -> None:
    path = source.path
    if not HUB_NAME.fullmatch(path) or Path(path).suffix in SUFFIXES:
        wanted = "; expected a file, a folder of data, or the name of a data set on the hub (owner/name)"
        raise UserError(f"data.train: {path}: no such file{suggest_path(path) or wanted}")


def _unreachable(path: str, error: Exception) -> UserError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    near = suggest_path(path)
    return UserError(f"data.train: {path}: no such file, and not found on the Hugging Face hub either ({reason}){near}")
