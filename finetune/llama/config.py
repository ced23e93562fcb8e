"""The shape of a LLaMA, with Hugging Face's field names."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camelid.errors import UserError
from camelid.files.read import read_json

# Fields that would change what a LLaMA computes and that the module does not implement.
UNSUPPORTED = ("quantization_config", "sliding_window", "partial_rotary_factor", "attention_multiplier")


# The ways to stretch rotary embeddings, and the fields of `rope_scaling` that each cannot do without.
ROPE_FIELDS: dict[str, tuple[str, ...]] = {
    "default": (),
    "linear": ("factor",),
    "dynamic": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
    "yarn": ("factor",),
}


@dataclass(frozen=True)
class LlamaConfig:
    """Sizes and constants of one model.

    Attributes:
        vocab_size: rows of the embedding.
        hidden_size: width of the residual stream.
        intermediate_size: width inside the SwiGLU feed-forward.
        num_hidden_layers: decoder layers.
        num_attention_heads: query heads.
        num_key_value_heads: key and value heads; None = as many as query heads (no grouping).
        head_dim: width of one head; None = hidden_size / num_attention_heads.
        rms_norm_eps: added to the mean square (1e-6 in LLaMA-1, 1e-5 from LLaMA-2 on).
        rope_theta: base of the rotary frequencies (10,000 in RoFormer, 500,000 in Llama 3).
        rope_scaling: how positions are stretched, see `finetune.llama.rope`; None = not at all. `rope_type` is one
            of `ROPE_FIELDS`, which names the fields that each needs.
        max_position_embeddings: longest sequence, tokens.
        tie_word_embeddings: whether the output layer shares the embedding's weights.
        attention_bias, mlp_bias: whether the linear layers have biases (never in published LLaMAs).
        initializer_range: standard deviation of random weights.
        bos_token_id, eos_token_id, pad_token_id: special tokens; None = none.
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10000.0
    rope_scaling: dict[str, Any] | None = None
    max_position_embeddings: int = 2048
    tie_word_embeddings: bool = False
    attention_bias: bool = False
    mlp_bias: bool = False
    initializer_range: float = 0.02
    bos_token_id: int | None = 1
    eos_token_id: int | None = 2
    pad_token_id: int | None = None

    def __post_init__(self) -> None:
        for name in ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} = {getattr(self, name)}: must be at least 1")
        if self.head_dim is None and self.hidden_size % self.num_attention_heads:
            raise UserError(
                f"hidden_size = {self.hidden_size} must be a multiple of num_attention_heads = "
                f"{self.num_attention_heads}, or head_dim must be given"
            )
        if self.num_attention_heads % self.kv_heads:
            raise UserError(
                f"num_attention_heads = {self.num_attention_heads} must be a multiple of num_key_value_heads = "
                f"{self.kv_heads}"
            )
        if self.rope_type not in ROPE_FIELDS:
            known = ", ".join(ROPE_FIELDS)
            raise UserError(f"rope_scaling.rope_type = {self.rope_type!r} is not supported; known: {known}")
        for name in ROPE_FIELDS[self.rope_type]:
            if name not in (self.rope_scaling or {}):
                raise UserError(f"rope_scaling: rope_type {self.rope_type!r} needs the field {name!r}")

    @property
    def kv_heads(self) -> int:
        return self.num_key_value_heads or self.num_attention_heads

    @property
    def head_size(self) -> int:
        return self.head_dim or self.hidden_size // self.num_attention_heads

    @property
    def context(self) -> int:
        """Longest sequence that can be generated; dynamic scaling stretches the trained one as needed."""
        stretch = (self.rope_scaling or {})["factor"] if self.rope_type == "dynamic" else 1
        return int(self.max_position_embeddings * stretch)

    @property
    def rope_type(self) -> str:
        scaling = self.rope_scaling or {}
        return str(scaling.get("rope_type", scaling.get("type", "default")))

    def num_parameters(self) -> int:
        """Number of weights, tied ones once."""
        width, heads, kv = self.hidden_size, self.num_attention_heads * self.head_size, self.kv_heads * self.head_size
        attention = width * (2 * heads + 2 * kv) + self.attention_bias * (heads + 2 * kv + width)
        feed_forward = 3 * width * self.intermediate_size
        feed_forward += self.mlp_bias * (2 * self.intermediate_size + width)
        layers = self.num_hidden_layers * (attention + feed_forward + 2 * width)
        return layers + width + self.vocab_size * width * (1 if self.tie_word_embeddings else 2)

    @staticmethod
    def from_json(record: dict[str, Any], place: str) -> "LlamaConfig":
        """Read a Hugging Face `config.json`, of transformers 5 (`rope_parameters`) or before (`rope_theta`).

        Args:
            record: the parsed file.
            place: its name, for errors.

        Raises:
            UserError: it is no LLaMA, or asks for something the module does not compute.
        """
        if record.get("model_type", "llama") != "llama":
            raise UserError(f"{place}: model_type = {record['model_type']!r}; only 'llama' is supported")
        if record.get("hidden_act", "silu") != "silu":
            raise UserError(f"{place}: hidden_act = {record['hidden_act']!r}; only 'silu' is supported")
        if record.get("attention_dropout", 0.0):
            raise UserError(f"{place}: attention_dropout = {record['attention_dropout']}; only 0 is supported")
        for name in UNSUPPORTED:
            if record.get(name):
                raise UserError(f"{place}: field {name!r} is not supported; use an unmodified LLaMA folder")
        known = set(LlamaConfig.__dataclass_fields__) - {"rope_theta", "rope_scaling"}
        values = {name: value for name, value in record.items() if name in known}
        rope = dict(record.get("rope_parameters") or record.get("rope_scaling") or {})
        theta = rope.pop("rope_theta", record.get("rope_theta", 10000.0))
        scaled = rope.get("rope_type", rope.get("type", "default")) != "default"
        if isinstance(values.get("eos_token_id"), list):
            values["eos_token_id"] = values["eos_token_id"][0]
        try:
            return LlamaConfig(**values, rope_theta=float(theta), rope_scaling=rope if scaled else None)
        except TypeError as error:
            raise UserError(f"{place}: {str(error).removeprefix('LlamaConfig.__init__() ')}") from None

    @staticmethod
    def from_folder(folder: str | Path) -> "LlamaConfig":
        """Read the `config.json` of a model folder."""
        path = Path(folder) / "config.json"
        return LlamaConfig.from_json(read_json(path), str(path))

    def to_json(self) -> dict[str, Any]:
        """A `config.json` that transformers (4 and 5), vLLM and llama.cpp read."""
        scaling = self.rope_scaling or {}
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_size,
            "hidden_act": "silu",
            "rms_norm_eps": self.rms_norm_eps,
            "rope_theta": self.rope_theta,
            "rope_scaling": self.rope_scaling,
            "rope_parameters": {"rope_type": self.rope_type, "rope_theta": self.rope_theta, **scaling},
            "max_position_embeddings": self.max_position_embeddings,
            "tie_word_embeddings": self.tie_word_embeddings,
            "attention_bias": self.attention_bias,
            "mlp_bias": self.mlp_bias,
            "initializer_range": self.initializer_range,
            "bos_token_id": self.bos_token_id,
            "eos_token_id": self.eos_token_id,
            "pad_token_id": self.pad_token_id,
        }
