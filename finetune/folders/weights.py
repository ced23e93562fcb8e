"""Weights in and out of Hugging Face folders, tensor by tensor, so that memory never holds a second copy."""

import hashlib
import pickle
import shutil
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

from camelid.errors import UserError
from camelid.files.read import read_json
from camelid.files.system_errors import make_folder
from camelid.files.write import give_usual_mode, write_json
from finetune.folders.score_head import SCORE, new_score
from finetune.llama.config import LlamaConfig
from finetune.llama.model import Llama

SHARD_BYTES = 5 * 10**9  # transformers' default shard size

# Tensors by name, each read when it is asked for.
LazyTensors = Mapping[str, Callable[[], Tensor]]


def init_model(config: LlamaConfig, seed: int, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Llama:
    """A model with random weights, the same for the same seed; storage is allocated once, in `dtype`."""
    with torch.device("meta"):
        model = Llama(config).to(dtype)
    model.to_empty(device=device)
    if config.tie_word_embeddings:
        model.lm_head.weight = model.model.embed_tokens.weight
    model.initialise(seed)
    return model


def load_model(
    folder: str | Path,
    dtype: torch.dtype | None = None,
    device: str = "cpu",
    config: LlamaConfig | None = None,
    seed: int = 0,
) -> Llama:
    """Load a model folder from memory-mapped files.

    Args:
        folder: Hugging Face layout: `config.json` and safetensors or `.bin` files, whole or in shards.
        dtype: of the parameters; None keeps what each tensor was saved as.
        device: where they go.
        config: the folder's own, or the same with a score layer (`with_score`).
        seed: of that layer, if the folder has none.

    Raises:
        UserError: a file or tensor is missing, not expected, or of another shape than the config says.
    """
    config = config or LlamaConfig.from_folder(folder)
    return build_model(config, tensors_for(folder, config, seed), str(folder), dtype, device)


def build_model(
    config: LlamaConfig, source: LazyTensors, place: str, dtype: torch.dtype | None = None, device: str = "cpu"
) -> Llama:
    """Make a model from tensors; `place` names their origin in errors."""
    with torch.device("meta"):
        model = Llama(config)
    expected = model_shapes(config)
    _require_names(expected, source, place)
    loaded: dict[str, Tensor] = {}
    for name, shape in expected.items():
        tensor = _read(source, name, shape, place)
        loaded[name] = tensor.to(device=device, dtype=dtype or tensor.dtype, copy=True)
    if config.tie_word_embeddings:
        loaded["lm_head.weight"] = loaded["model.embed_tokens.weight"]
    model.load_state_dict(loaded, assign=True)
    if config.tie_word_embeddings:
        model.lm_head.weight = model.model.embed_tokens.weight
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    return model


def load_without_storage(folder: str | Path, dtype: torch.dtype, config: LlamaConfig | None = None) -> Llama:
    """The model of a folder without storage, to be cut over processes before `finetune.engine.load` reads it."""
    with torch.device("meta"):
        return Llama(config or LlamaConfig.from_folder(folder)).to(dtype)


def tensors_for(folder: str | Path, config: LlamaConfig, seed: int) -> LazyTensors:
    """The tensors of a folder; of a language model whose `config` asks for scores with a new score layer.

    A folder of a reward model must have its own: a random one in its place would score at random.
    """
    tensors = open_tensors(folder)
    if not config.num_labels or LlamaConfig.from_folder(folder).num_labels:
        return tensors
    return {name: read for name, read in tensors.items() if name != "lm_head.weight"} | {
        SCORE: partial(new_score, config, seed)
    }


class CheckedTensors:
    """The tensors of a model folder, each of the shape that the config says.

    Args:
        folder: as for `load_model`.
        config: of the model.
        seed: as for `load_model`.

    Raises:
        UserError: a file or tensor is missing or not expected; `read` of another shape.
    """

    def __init__(self, folder: str | Path, config: LlamaConfig, seed: int = 0) -> None:
        self._source, self._expected = tensors_for(folder, config, seed), model_shapes(config)
        self._place = str(folder)
        _require_names(self._expected, self._source, self._place)

    def __contains__(self, name: str) -> bool:
        return name in self._expected

    def read(self, name: str) -> Tensor:
        """The tensor, memory-mapped."""
        return _read(self._source, name, self._expected[name], self._place)


@torch.no_grad()
def copy_whole(tensor: Tensor, weight: Tensor) -> None:
    """Copy a whole tensor into a weight; of one that is cut over processes (DTensor) each takes its own part.

    Every process has the tensor itself, so nothing is sent.
    """
    tensor = tensor.to(weight.dtype)
    if isinstance(weight, DTensor):
        tensor = distribute_tensor(tensor, weight.device_mesh, weight.placements, src_data_rank=None)
    weight.copy_(tensor)


def save_model(
    state: Mapping[str, Tensor],
    config: LlamaConfig,
    folder: str | Path,
    shard_bytes: int = SHARD_BYTES,
    dtype: torch.dtype | None = None,
    generation: Mapping[str, Any] | None = None,
) -> None:
    """Write a model's `state_dict()` as a Hugging Face folder; see `write_weights`."""
    source = {name: partial(_identity, tensor) for name, tensor in state.items()}
    if config.tie_word_embeddings:
        source.pop("lm_head.weight", None)
    write_weights(source, config, folder, dtype, shard_bytes, generation)


def write_weights(
    source: LazyTensors,
    config: LlamaConfig,
    folder: str | Path,
    dtype: torch.dtype | None = None,
    shard_bytes: int = SHARD_BYTES,
    generation: Mapping[str, Any] | None = None,
) -> None:
    """Write config, generation config and safetensors; the folder appears whole or not at all.

    Memory holds one shard at a time.

    Args:
        source: the tensors.
        config: their shape.
        folder: must not exist yet.
        dtype: what they are saved as; None keeps each as it is.
        shard_bytes: largest file.
        generation: what `generation_config.json` is to hold; its special tokens stand in `config.json`, too, instead
            of the config's.
    """
    folder = Path(folder)
    if folder.exists():
        raise UserError(f"{folder} exists already; choose another folder or remove it")
    partial_folder = folder.with_name(f".{folder.name}.saving")
    shutil.rmtree(partial_folder, ignore_errors=True)
    make_folder(partial_folder)
    saved_as = dtype or next(iter(source.values()))().dtype
    shards = _shards(source, config, saved_as.itemsize, shard_bytes)
    total = 0
    placed: dict[str, str] = {}
    for number, names in enumerate(shards, start=1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors" if len(shards) > 1 else "model.safetensors"
        tensors = {name: source[name]().detach().to("cpu", dtype).contiguous() for name in names}
        _save(tensors, partial_folder / file)
        placed |= dict.fromkeys(names, file)
        total += sum(tensor.nbytes for tensor in tensors.values())
    if len(shards) > 1:
        index = {"metadata": {"total_size": total}, "weight_map": placed}
        write_json(partial_folder / "model.safetensors.index.json", index)
    name = str(saved_as).removeprefix("torch.")
    ids = {key: getattr(config, key) for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    settings = {key: value for key, value in ids.items() if value is not None} | dict(generation or {})
    ids |= {key: settings[key] for key in ids if key in settings}
    write_json(partial_folder / "config.json", {**config.to_json(), **ids, "dtype": name, "torch_dtype": name})
    write_json(partial_folder / "generation_config.json", settings)
    partial_folder.rename(folder)


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    """Write one file, readable for whom other files of this process are (safetensors makes it the owner's alone).

    Raises:
        UserError: the disk is full, or refuses it.
    """
    try:
        save_file(tensors, path, metadata={"format": "pt"})
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: could not be written: {error}; make room and start again") from None
    give_usual_mode(path)


def open_tensors(folder: str | Path) -> LazyTensors:
    """The tensors of a Hugging Face folder, memory-mapped.

    Raises:
        UserError: there are no weights, or a shard is missing.
    """
    folder = Path(folder)
    for stem, suffix, opener in (
        ("model", "safetensors", _open_safetensors),
        ("pytorch_model", "bin", open_pickled),
    ):
        index = folder / f"{stem}.{suffix}.index.json"
        if not index.is_file() and not (folder / f"{stem}.{suffix}").is_file():
            continue
        names = sorted(set(read_json(index)["weight_map"].values())) if index.is_file() else [f"{stem}.{suffix}"]
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise UserError(f"{folder}: {missing[0]} is missing; copy it again")
        tensors = {name: read for file in names for name, read in opener(folder / file).items()}
        # A buffer that old transformers versions saved.
        return {name: read for name, read in tensors.items() if not name.endswith("rotary_emb.inv_freq")}
    if list(folder.glob("consolidated.*.pth")):
        raise UserError(f"{folder}: Meta's layout; turn it into a model folder with `camelid weights import` first")
    raise UserError(f"{folder}: model.safetensors is missing; expected weights as safetensors or pytorch_model.bin")


def dtype_of(folder: str | Path) -> torch.dtype:
    """What the weights of a Hugging Face folder are saved as, going by its largest tensor."""
    return max((read() for read in open_tensors(folder).values()), key=Tensor.numel).dtype


def _open_safetensors(path: Path) -> LazyTensors:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: partial(_from_safetensors, path, name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except SafetensorError as error:
        raise UserError(f"{path}: broken or cut off ({error}); copy it again") from None


def _from_safetensors(path: Path, name: str) -> Tensor:
    """One tensor; the file is mapped anew for it, because pages of a map that stays open count as memory."""
    with safe_open(path, framework="pt") as file:
        tensor: Tensor = file.get_tensor(name)
    return tensor


def open_pickled(path: Path) -> LazyTensors:
    """The tensors of a `torch.save` file; nothing but tensors is unpickled.

    Raises:
        UserError: it is broken, holds code, or other things than tensors by name.
    """
    tensors, mapped = _unpickle(path)
    if mapped:
        return {name: partial(_from_pickled, path, name) for name in tensors}
    return {name: partial(_identity, tensor) for name, tensor in tensors.items()}


def pickled_shapes(path: Path) -> dict[str, torch.Size]:
    """The shapes of the tensors of a `torch.save` file; see `open_pickled`."""
    return {name: tensor.shape for name, tensor in _unpickle(path)[0].items()}


def _unpickle(path: Path) -> tuple[dict[str, Tensor], bool]:
    """Tensors by name, and whether they are mapped: the format before torch 1.6 cannot be."""
    mapped = zipfile.is_zipfile(path)
    try:
        tensors = torch.load(path, map_location="cpu", mmap=mapped, weights_only=True)
    except pickle.UnpicklingError:
        raise UserError(f"{path}: holds other things than tensors, perhaps code, and is not read") from None
    except (RuntimeError, EOFError, KeyError, ValueError, IndexError, AttributeError):  # bytes that are no such file
        raise UserError(f"{path}: broken or cut off; copy it again") from None
    if not isinstance(tensors, dict):
        raise UserError(f"{path}: expected tensors by name, found {type(tensors).__name__}")
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise UserError(f"{path}: {name!r} is no tensor but {type(tensor).__name__}; expected tensors by name")
    return tensors, mapped


def _from_pickled(path: Path, name: str) -> Tensor:
    """One tensor; mapped anew as in `_from_safetensors`."""
    tensor: Tensor = torch.load(path, map_location="cpu", mmap=True, weights_only=True)[name]
    return tensor


def _identity(tensor: Tensor) -> Tensor:
    return tensor


def weights_hash(folder: str | Path) -> str:
    """SHA-256 of the values of all weights, whatever files and precision they are kept in."""
    digest = hashlib.sha256()
    for name, read in sorted(open_tensors(folder).items()):
        digest.update(name.encode())
        digest.update(read().float().contiguous().numpy().data)
    return digest.hexdigest()


def model_shapes(config: LlamaConfig) -> dict[str, torch.Size]:
    """Name and shape of every tensor that is stored."""
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in Llama(config).state_dict().items()}
    if config.tie_word_embeddings:
        del shapes["lm_head.weight"]
    return shapes


def check_tensors(config: LlamaConfig, source: LazyTensors, place: str) -> None:
    """Refuse tensors that are not those of a model, without loading more than one at a time.

    Raises:
        UserError: one is missing, not expected, or of another shape than the config says.
    """
    expected = model_shapes(config)
    _require_names(expected, source, place)
    for name, shape in expected.items():
        _read(source, name, shape, place)


def _require_names(expected: Mapping[str, torch.Size], source: LazyTensors, place: str) -> None:
    unexpected = sorted(source.keys() - expected.keys() - {"lm_head.weight"})
    if unexpected:
        raise UserError(f"{place}: unexpected tensor {unexpected[0]!r}")
    missing = sorted(expected.keys() - source.keys())
    if missing:
        more = f" and {len(missing) - 1} more" * (len(missing) > 1)
        raise UserError(f"{place}: missing tensor {missing[0]!r}{more}")


def _read(source: LazyTensors, name: str, shape: torch.Size, place: str) -> Tensor:
    tensor = source[name]()
    if tensor.shape != shape:
        raise UserError(f"{place}: tensor {name!r} has shape {list(tensor.shape)}, config.json says {list(shape)}")
    return tensor


def _shards(source: LazyTensors, config: LlamaConfig, itemsize: int, shard_bytes: int) -> list[list[str]]:
    """Names of the tensors of each file, in the model's order."""
    shapes = model_shapes(config)
    shards: list[list[str]] = [[]]
    size = 0
    for name in [name for name in shapes if name in source] + [name for name in source if name not in shapes]:
        nbytes = shapes[name].numel() * itemsize if name in shapes else 0
        if size and size + nbytes > shard_bytes:
            shards.append([])
            size = 0
        shards[-1].append(name)
        size += nbytes
    return shards
