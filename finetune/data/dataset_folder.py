"""A folder of data by its splits: one that `datasets` saved, or shards in JSON, JSON Lines or Parquet."""

from collections.abc import Collection
from pathlib import Path

from camelid.errors import UserError, suggest_name
from camelid.files.read import read_json
from camelid.files.texts import PLAIN
from camelid.files.unpack import unpacked_name

SUFFIXES = (".jsonl", ".json", ".parquet", ".gz", ".zst")


def split_files(folder: Path, split: str | None, config: str | None) -> list[Path]:
    """What to read of a folder, in order: files, or one folder that `save_to_disk` made.

    Which shards are of which split is what `datasets.load_dataset` says of the same folder: by their names
    (`train-00000-of-00002.parquet`) or by the `configs` of its README.md; without either, all are `train`.

    Args:
        folder: is there.
        split: the one that is wanted; None for `train`.
        config: the configuration that is wanted, where README.md names several.

    Raises:
        UserError: there is no such split or configuration, nothing to read, or files that are in no split.
    """
    if (folder / "dataset_dict.json").is_file():
        _refuse_config(folder, config)
        splits = read_json(folder / "dataset_dict.json")["splits"]
        return [folder / choose_split(splits, split, str(folder))]
    if (folder / "dataset_info.json").is_file():
        _refuse_config(folder, config)
        if split is not None:
            choose_split([str(read_json(folder / "state.json").get("_split"))], split, str(folder))
        return [folder]
    from datasets import load_dataset_builder

    try:
        found = load_dataset_builder(str(folder.resolve()), name=config).config.data_files
    except (ValueError, FileNotFoundError) as error:  # an unknown configuration; no data files
        raise UserError(f"data.train: {folder}: {' '.join(str(error).splitlines()[:2])}") from None
    files = {str(name): [Path(file) for file in paths] for name, paths in (found or {}).items()}
    _refuse_files_of_no_split(folder, {path for paths in files.values() for path in paths})
    return files[choose_split(files, split, str(folder))]


def is_corpus(folder: Path) -> bool:
    """Whether a `camelid corpus` command made it: its records are in `data/`, beside what became of them."""
    return (folder / "ledger.json").is_file() and (folder / "data").is_dir()


def text_files(folder: Path) -> list[Path]:
    """Its plain texts, each a document, in the order of their names; none of a folder of other data.

    A Markdown file beside other data is a card about them; beside texts it is one of them.

    Raises:
        UserError: it holds `.txt` files and others that are no texts.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not _hidden(path, folder))
    names = {path: unpacked_name(path).lower() for path in files}
    texts = [path for path in files if names[path].endswith(PLAIN)]
    others = [path for path in files if path not in texts]
    plain = [path for path in texts if names[path].endswith(".txt")]
    if others and plain:
        raise UserError(
            f"data.train: {folder}: holds texts ({plain[0].name}) beside what is none ({others[0].name}); move "
            "the ones or the others to a folder of their own, and name both"
        )
    return [] if others else texts


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)


def choose_split(splits: Collection[str], asked: str | None, place: str) -> str:
    """The split that was asked for, or `train`.

    Raises:
        UserError: there is none of that name; the message lists those there are.
    """
    wanted = asked or "train"
    if wanted not in splits:
        fix = suggest_name(wanted, splits) if asked else f"; name one as its split: {', '.join(sorted(splits))}"
        raise UserError(f"data.train: {place}: no split {wanted!r}{fix}")
    return wanted


def _refuse_config(folder: Path, config: str | None) -> None:
    if config is not None:
        raise UserError(f"data.train: {folder}: has no configurations (config = {config!r}); leave it out")


def _refuse_files_of_no_split(folder: Path, known: set[Path]) -> None:
    """Files that names alone left out would be lost unsaid."""
    card = folder / "README.md"
    if card.is_file() and "\nconfigs:" in card.read_text(encoding="utf-8", errors="replace"):
        return  # it says which files are data
    for path in sorted(folder.resolve().rglob("*")):
        hidden = _hidden(path, folder.resolve())
        if path.suffix in SUFFIXES and path.is_file() and not hidden and path not in known:
            names = ", ".join(sorted(each.name for each in known)[:3])
            raise UserError(
                f"data.train: {path}: belongs to no split by its name ({names} do); rename it, move it away, or name "
                "the files one by one"
            )
