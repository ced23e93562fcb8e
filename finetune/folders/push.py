"""A model or adapter folder to a repository of the Hugging Face hub, with its card."""

import json
from dataclasses import dataclass
from pathlib import Path

import yaml
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, ModelCard, errors, get_token

from camelid.errors import UserError
from camelid.files.paths import suggest_path
from camelid.files.read import read_json
from finetune.folders.fingerprint import BASE
from finetune.folders.hub import HUB_NAME

# What the hub's package raises for hub and network; the first is of whichever HTTP package it goes by.
OF_THE_NETWORK = (errors.HTTPError, errors.OfflineModeIsEnabled)  # type: ignore[attr-defined]
CARD = "README.md"
OF_THE_HUB = ".gitattributes"  # every repository has one from its start
# The field in which a file names the base; the card does so, too.
BASE_FIELDS = {"adapter_config.json": "base_model_name_or_path", BASE: "path", "made_from.json": "base"}


@dataclass(frozen=True)
class Pushed:
    """What became of a push.

    Attributes:
        address: of the repository.
        private: whether only its owners see it.
        files: that it holds now.
        bytes: of them all.
        removed: files it held before and does no longer.
    """

    address: str
    private: bool
    files: int
    bytes: int
    removed: int


def push_folder(
    folder: str | Path, name: str, public: bool = False, replace: bool = False, base: str | None = None
) -> Pushed:
    """Make all of a folder's files, hidden ones aside, the content of a repository, in one commit.

    Args:
        folder: of a model or an adapter, with its card.
        name: of the repository, `OWNER/NAME`; it is made if there is none.
        public: whether everybody may see it.
        replace: whether it may hold files already; what the folder lacks is removed, and stays in the history.
        base: what the base is called on the hub, put into the card and the files of `BASE_FIELDS`.

    Raises:
        UserError: no such folder, no card, no name that others could find the base by, no token, a repository with
            files or of another visibility, or whatever hub and network answer.
    """
    for option, value in (("NAME", name), ("--base", base)):
        if value is not None and not HUB_NAME.fullmatch(value):
            raise UserError(f"{option} {value!r}: expected a name of the hub, OWNER/NAME")
    path = Path(folder)
    additions = [CommitOperationAdd(file, content) for file, content in _contents(path, base).items()]
    if get_token() is None:
        raise UserError("the hub wants a token that may write: log in with `hf auth login`, or set HF_TOKEN")
    api = HfApi()
    try:
        held = _claim_repository(api, name, public, replace)
        gone = [CommitOperationDelete(file) for file in sorted(held - {file.path_in_repo for file in additions})]
        api.create_commit(name, [*additions, *gone], commit_message=f"{path.resolve().name}, pushed by Camelid")
    except OF_THE_NETWORK as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(f"{name}: {api.endpoint} does not take it: {' '.join(reason)}") from None
    except ValueError as error:  # of a card whose metadata the hub refuses
        raise UserError(f"{path / CARD}: {' '.join(str(error).split())}") from None
    size = sum(file.upload_info.size for file in additions)
    return Pushed(f"{api.endpoint}/{name}", not public, len(additions), size, len(gone))


def _claim_repository(api: HfApi, name: str, public: bool, replace: bool) -> set[str]:
    """Make the repository, or check that it is meant; return the files that it holds."""
    try:
        found = api.model_info(name)
    except errors.RepositoryNotFoundError:
        api.create_repo(name, private=not public)
        return set()
    if found.private == public:
        fix = "make it public there" if public else "add --public, or make it private there"
        raise UserError(f"{api.endpoint}/{name}: is {'private' if public else 'public'}; {fix}")
    held = {file.rfilename for file in found.siblings or []} - {OF_THE_HUB}
    if held and not replace:
        raise UserError(
            f"{api.endpoint}/{name}: holds {len(held)} file(s) already; choose another name, or add --replace "
            "(its history keeps them)"
        )
    return held


def _contents(folder: Path, base: str | None) -> dict[str, Path | bytes]:
    """The folder's files by name; the bytes of those in which the base gets its name of the hub."""
    _require_publishable(folder)
    files = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    visible = {name: path for name, path in files.items() if not any(part.startswith(".") for part in name.parts)}
    contents: dict[str, Path | bytes] = {name.as_posix(): path for name, path in visible.items()}
    card = _read_card(folder / CARD)
    written = card.data.get("base_model")
    named = [written] if isinstance(written, str) else list(written or [])
    records = {name: read_json(folder / name) for name in BASE_FIELDS if name in contents}
    loaded_from = records.get("adapter_config.json", {}).get("base_model_name_or_path")
    stated = [*named, *([loaded_from] if loaded_from else [])]
    if base is None:
        local = next((name for name in stated if not HUB_NAME.fullmatch(name) or Path(name).exists()), None)
        if local is not None:
            raise UserError(
                f"{folder}: its base {local!r} is a folder of this machine; say what it is called on the hub: "
                "--base OWNER/NAME"
            )
        return contents
    card.data["base_model"] = base
    for name in stated:
        card.text = card.text.replace(f"`{name}`", f"`{base}`")
    contents[CARD] = str(card).encode()
    for name, record in records.items():
        if BASE_FIELDS[name] in record:
            record = {**record, BASE_FIELDS[name]: base}
            contents[name] = f"{json.dumps(record, indent=2, ensure_ascii=False)}\n".encode()
    return contents


def _require_publishable(folder: Path) -> None:
    """Refuse what is no model or adapter with a card."""
    if not any((folder / name).is_file() for name in ("config.json", "adapter_config.json")):
        raise UserError(
            f"{folder}: no folder of a model or an adapter (no config.json, no adapter_config.json)"
            f"{suggest_path(folder)}"
        )
    if not (folder / CARD).is_file():
        raise UserError(f"{folder}: no {CARD}; write a card that says what the model is, of what base, and its licence")


def _read_card(path: Path) -> ModelCard:
    try:
        card: ModelCard = ModelCard.load(path)
        return card
    except (ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path}: its metadata can't be read: {' '.join(str(error).split())}") from None
