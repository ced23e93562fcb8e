"""Meta's checkpoint layout: `params.json`, `consolidated.NN.pth` split for tensor parallelism, `tokenizer.model`.

Facts of the layout: github.com/meta-llama/llama, llama/model.py (which layers are split, and how rotary pairs lie).
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from camelid.errors import UserError
from camelid.files.read import read_json
from finetune.folders.weights import LazyTensors, open_pickled
from finetune.llama.config import LlamaConfig

# Meta's name within a layer -> Hugging Face's, and the dimension that tensor parallelism splits (None: not split).
LAYER: dict[str, tuple[str, int | None]] = {
    "attention.wq": ("self_attn.q_proj", 0),
    "attention.wk": ("self_attn.k_proj", 0),
    "attention.wv": ("self_attn.v_proj", 0),
    "attention.wo": ("self_attn.o_proj", 1),
    "feed_forward.w1": ("mlp.gate_proj", 0),
    "feed_forward.w2": ("mlp.down_proj", 1),
    "feed_forward.w3": ("mlp.up_proj", 0),
    "attention_norm": ("input_layernorm", None),
    "ffn_norm": ("post_attention_layernorm", None),
}
LLAMA3_VOCABULARY = 128256


def open_checkpoint(folder: str | Path) -> tuple[LlamaConfig, LazyTensors]:
    """Read a folder in Meta's layout; the files are memory-mapped, tensors are put together when asked for.

    Raises:
        UserError: a file is missing, or a tensor has no known name.
    """
    folder = Path(folder)
    params = read_json(folder / "params.json")
    paths = sorted(folder.glob("consolidated.*.pth"))
    if not paths:
        raise UserError(f"{folder}: no consolidated.NN.pth; expected Meta's layout")
    parts = [open_pickled(path) for path in paths]
    config = _config(params, parts, str(folder / "params.json"))
    source: dict[str, Callable[[], Tensor]] = {}
    for name in parts[0]:
        if name == "rope.freqs":
            continue
        absent = [path.name for path, part in zip(paths, parts, strict=True) if name not in part]
        if absent:
            raise UserError(f"{folder / absent[0]}: tensor {name!r} is missing, but {paths[0].name} has it")
        theirs, dimension = _translate(name, parts, folder)
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.kv_heads}.get(theirs.split(".")[-2])
        source[theirs] = partial(_join, [part[name] for part in parts], dimension, heads)
    if config.tie_word_embeddings:
        source.pop("lm_head.weight", None)
    return config, source


def _translate(name: str, parts: list[LazyTensors], folder: Path) -> tuple[str, int | None]:
    """Hugging Face's name of a tensor, and the dimension it is split along."""
    if name == "norm.weight":
        return "model.norm.weight", None
    if name == "output.weight":
        return "lm_head.weight", 0
    if name == "tok_embeddings.weight":
        # LLaMA-1 and 2 split the width of the embedding, Llama 3 its rows.
        return "model.embed_tokens.weight", 0 if len(parts) * parts[0][name]().shape[0] == LLAMA3_VOCABULARY else 1
    match = re.fullmatch(r"layers\.(\d+)\.(.+)\.weight", name)
    if not match or match[2] not in LAYER:
        raise UserError(f"{folder}: unknown tensor {name!r} in consolidated.00.pth")
    theirs, dimension = LAYER[match[2]]
    return f"model.layers.{match[1]}.{theirs}.weight", dimension


def _join(pieces: list[Callable[[], Tensor]], dimension: int | None, heads: int | None) -> Tensor:
    """Put the shards of one tensor together; queries and keys also change the order of their rotary pairs.

    Meta turns dimension 2i with 2i + 1, Hugging Face i with i + d/2.
    """
    tensor = pieces[0]() if dimension is None else torch.cat([piece() for piece in pieces], dim=dimension)
    if heads is None:
        return tensor
    rows, width = tensor.shape
    return tensor.view(heads, rows // heads // 2, 2, width).transpose(1, 2).reshape(rows, width)


def _config(params: Mapping[str, Any], parts: list[LazyTensors], place: str) -> LlamaConfig:
    """The shape, from `params.json` and from what the tensors themselves show."""
    try:
        width, layers, heads = int(params["dim"]), int(params["n_layers"]), int(params["n_heads"])
        eps = float(params["norm_eps"])
    except KeyError as error:
        raise UserError(f"{place}: field {error} is missing") from None
    theta = float(params.get("rope_theta", 10000.0))
    stretched = bool(params.get("use_scaled_rope"))
    embedding = parts[0]["tok_embeddings.weight"]().shape
    vocabulary = LLAMA3_VOCABULARY if len(parts) * embedding[0] == LLAMA3_VOCABULARY else embedding[0]
    tied = stretched and width <= 3072  # Llama 3.2 1B and 3B
    scaling = {
        "rope_type": "llama3",
        "factor": 32.0 if tied else 8.0,  # Llama 3.2 and 3.1
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    llama3 = vocabulary == LLAMA3_VOCABULARY
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=len(parts) * parts[0]["layers.0.feed_forward.w1.weight"]().shape[0],
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=int(params.get("n_kv_heads") or heads),
        rms_norm_eps=eps,
        rope_theta=theta,
        rope_scaling=scaling if stretched else None,
        max_position_embeddings=_context(theta, eps, stretched),
        tie_word_embeddings=tied,
        bos_token_id=128000 if llama3 else 1,
        eos_token_id=128001 if llama3 else 2,
    )


def _context(theta: float, eps: float, stretched: bool) -> int:
    """The context length, which `params.json` does not say: it follows from the generation."""
    if stretched:
        return 131072  # Llama 3.1 and 3.2
    if theta == 500000.0:
        return 8192  # Llama 3
    if theta == 1e6:
        return 16384  # Code Llama
    return 4096 if eps == 1e-5 else 2048  # LLaMA-2, LLaMA-1
