"""Weights in and out of Hugging Face folders."""

import shutil
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from camelid.errors import UserError
from camelid.jsonl import read_json, write_json
from finetune.llama.config import LlamaConfig
from finetune.llama.model import Llama

SHARD_BYTES = 5 * 10**9  # transformers' default shard size


def new(config: LlamaConfig, seed: int, dtype: torch.dtype = torch.float32) -> Llama:
    """A model with random weights, the same for the same seed."""
    model = Llama(config).to(dtype)
    model.initialise(seed)
    return model


def load(folder: str | Path, dtype: torch.dtype | None = None, device: str = "cpu") -> Llama:
    """Load a model folder, one tensor at a time from memory-mapped files.

    Args:
        folder: Hugging Face layout: `config.json` and safetensors, in one file or in shards.
        dtype: of the parameters; None keeps what each tensor was saved as.
        device: where they go.

    Raises:
        UserError: a file or tensor is missing, not expected, or of another shape than the config says.
    """
    folder = Path(folder)
    config = LlamaConfig.from_folder(folder)
    with torch.device("meta"):
        model = Llama(config)
    expected = dict(model.state_dict())
    loaded: dict[str, Tensor] = {}
    for path in _files(folder):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 (not a dict)
                if name.endswith("rotary_emb.inv_freq"):
                    continue  # a buffer that old transformers versions saved
                if name not in expected:
                    raise UserError(f"{path}: unexpected tensor {name!r}")
                tensor = file.get_tensor(name)
                if tensor.shape != expected[name].shape:
                    raise UserError(
                        f"{path}: tensor {name!r} has shape {list(tensor.shape)}, config.json says "
                        f"{list(expected[name].shape)}"
                    )
                loaded[name] = tensor.to(device=device, dtype=dtype or tensor.dtype, copy=True)
    if config.tie_word_embeddings and "model.embed_tokens.weight" in loaded:
        loaded["lm_head.weight"] = loaded["model.embed_tokens.weight"]
    missing = sorted(expected.keys() - loaded.keys())
    if missing:
        raise UserError(
            f"{folder}: missing tensor {missing[0]!r}" + f" and {len(missing) - 1} more" * (len(missing) > 1)
        )
    model.load_state_dict(loaded, assign=True)
    if config.tie_word_embeddings:
        model.lm_head.weight = model.model.embed_tokens.weight
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    return model


def save(state: dict[str, Tensor], config: LlamaConfig, folder: str | Path, shard_bytes: int = SHARD_BYTES) -> None:
    """Write config, generation config and safetensors; the folder appears whole or not at all.

    Args:
        state: the model's `state_dict()`.
        config: its shape.
        folder: must not exist yet.
        shard_bytes: largest file.
    """
    folder = Path(folder)
    if folder.exists():
        raise UserError(f"{folder} exists already; choose another folder or remove it")
    partial = folder.with_name(f".{folder.name}.saving")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    if config.tie_word_embeddings:
        tensors.pop("lm_head.weight", None)
    shards = _shards(tensors, shard_bytes)
    names = ["model.safetensors"]
    if len(shards) > 1:
        names = [f"model-{index + 1:05d}-of-{len(shards):05d}.safetensors" for index in range(len(shards))]
        placed = {tensor: name for name, shard in zip(names, shards, strict=True) for tensor in shard}
        total = sum(tensor.nbytes for tensor in tensors.values())
        write_json(partial / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": placed})
    for name, shard in zip(names, shards, strict=True):
        save_file(shard, partial / name, metadata={"format": "pt"})
    dtype = str(next(iter(tensors.values())).dtype).removeprefix("torch.")
    write_json(partial / "config.json", {**config.to_json(), "dtype": dtype, "torch_dtype": dtype})
    ids = {name: getattr(config, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    write_json(partial / "generation_config.json", {name: index for name, index in ids.items() if index is not None})
    partial.rename(folder)


def _files(folder: Path) -> list[Path]:
    """The safetensors files of a model folder."""
    index = folder / "model.safetensors.index.json"
    whole = ["model.safetensors"]
    names = sorted(set(read_json(index)["weight_map"].values())) if index.is_file() else whole
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise UserError(f"{folder}: {missing[0]} is missing; expected weights as safetensors")
    return [folder / name for name in names]


def _shards(tensors: dict[str, Tensor], shard_bytes: int) -> list[dict[str, Tensor]]:
    shards: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, tensor in tensors.items():
        if size and size + tensor.nbytes > shard_bytes:
            shards.append({})
            size = 0
        shards[-1][name] = tensor
        size += tensor.nbytes
    return shards
