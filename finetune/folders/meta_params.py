"""Meta's `params.json`, and the shape of the model that it describes.

Facts: github.com/meta-llama/llama, llama/model.py (`ModelArgs`, `FeedForward`); for Llama 3.1 and 3.2
github.com/meta-llama/llama-models, models/llama3/args.py; the `params.json` that come with the weights.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camelid.errors import UserError
from camelid.files.read import read_json
from finetune.llama.config import LlamaConfig


@dataclass(frozen=True)
class Params:
    """What the file says, under its own names; None where it says nothing.

    Attributes:
        place: the file, for errors.
        vocab_size: None if it is -1, as in LLaMA-1 and 2: then the tokenizer's.
    """

    place: str
    dim: int
    n_layers: int
    n_heads: int
    norm_eps: float
    n_kv_heads: int | None
    vocab_size: int | None
    multiple_of: int | None
    ffn_dim_multiplier: float | None
    rope_theta: float
    use_scaled_rope: bool
    rope_scaling_factor: float | None


def read_params(path: Path) -> Params:
    """Read the file.

    Raises:
        UserError: it is missing or broken, or a field is missing or no number.
    """
    record, place = read_json(path), str(path)
    if not isinstance(record, dict):
        raise UserError(f"{place}: expected an object with dim, n_layers, n_heads and norm_eps")
    vocab_size = _number(record, "vocab_size", place, -1)
    return Params(
        place=place,
        dim=_count(record, "dim", place),
        n_layers=_count(record, "n_layers", place),
        n_heads=_count(record, "n_heads", place),
        norm_eps=_number(record, "norm_eps", place),
        n_kv_heads=_count(record, "n_kv_heads", place) if record.get("n_kv_heads") is not None else None,
        vocab_size=_count(record, "vocab_size", place) if vocab_size != -1 else None,
        multiple_of=_count(record, "multiple_of", place) if "multiple_of" in record else None,
        ffn_dim_multiplier=_number(record, "ffn_dim_multiplier", place, 0.0) or None,
        rope_theta=_number(record, "rope_theta", place, 10000.0),
        use_scaled_rope=record.get("use_scaled_rope") is True,
        rope_scaling_factor=_number(record, "rope_scaling_factor", place, 0.0) or None,
    )


def _number(record: Mapping[str, Any], name: str, place: str, default: float | None = None) -> float:
    value = record.get(name, default)
    if value is None and name not in record:
        raise UserError(f"{place}: field {name!r} is missing")
    if value is None and default is not None and name == "ffn_dim_multiplier":
        return default  # Meta's own default is null
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"{place}: {name} must be a number, found {value!r}")
    return value


def _count(record: Mapping[str, Any], name: str, place: str) -> int:
    value = _number(record, name, place)
    if value != int(value) or value < 1:
        raise UserError(f"{place}: {name} must be a whole number of at least 1, found {value!r}")
    return int(value)


def make_config(params: Params, shapes: Sequence[Mapping[str, Sequence[int]]]) -> LlamaConfig:
    """The shape of the model; what the file leaves open, the tensors' shapes say.

    Args:
        params: the file.
        shapes: of the tensors of each file of the checkpoint.

    Raises:
        UserError: a tensor that is needed for that is missing.
    """
    vocabulary = _vocabulary(params, shapes)
    stretched, llama3 = params.use_scaled_rope, vocabulary >= 128000
    tied = stretched and params.dim <= 3072  # Llama 3.2 1B and 3B
    scaling = {
        "rope_type": "llama3",
        "factor": params.rope_scaling_factor or (32.0 if tied else 8.0),  # Llama 3.2 and 3.1
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=params.dim,
        intermediate_size=_inner_width(params, shapes),
        num_hidden_layers=params.n_layers,
        num_attention_heads=params.n_heads,
        num_key_value_heads=params.n_kv_heads or params.n_heads,
        rms_norm_eps=params.norm_eps,
        rope_theta=params.rope_theta,
        rope_scaling=scaling if stretched else None,
        max_position_embeddings=_context(params),
        tie_word_embeddings=tied,
        bos_token_id=128000 if llama3 else 1,
        eos_token_id=128001 if llama3 else 2,
    )


def _vocabulary(params: Params, shapes: Sequence[Mapping[str, Sequence[int]]]) -> int:
    """Rows of the embedding, which is cut by its width, or from Llama 3 on by its rows."""
    if params.vocab_size is not None:
        return params.vocab_size
    rows, width = _shape(params, shapes, "tok_embeddings.weight")
    return rows * len(shapes) if width == params.dim else rows


def _inner_width(params: Params, shapes: Sequence[Mapping[str, Sequence[int]]]) -> int:
    """Width of the feed-forward: 2/3 of four times the model's, times a factor, rounded up."""
    if params.multiple_of is None:
        return _shape(params, shapes, "layers.0.feed_forward.w1.weight")[0] * len(shapes)
    inner = int(2 * 4 * params.dim / 3)
    if params.ffn_dim_multiplier is not None:
        inner = int(params.ffn_dim_multiplier * inner)
    return params.multiple_of * -(-inner // params.multiple_of)


def _shape(params: Params, shapes: Sequence[Mapping[str, Sequence[int]]], name: str) -> Sequence[int]:
    if name not in shapes[0] or len(shapes[0][name]) != 2:
        raise UserError(f"{params.place}: no matrix {name!r} in the files beside it")
    return shapes[0][name]


def _context(params: Params) -> int:
    """The context length, which the file does not say: it follows from the generation."""
    if params.use_scaled_rope:
        return 131072  # Llama 3.1 and 3.2
    if params.rope_theta == 500000.0:
        return 8192  # Llama 3
    if params.rope_theta == 1e6:
        return 16384  # Code Llama
    # The 65B of LLaMA-1 has LLaMA-2's constant, and no groups of heads as LLaMA-2's 70B.
    largest_llama1 = (params.dim, params.n_layers) == (8192, 80) and params.n_kv_heads is None
    return 4096 if params.norm_eps == 1e-5 and not largest_llama1 else 2048
