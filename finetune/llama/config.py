"""The shape of a LLaMA or of a near descendant, with Hugging Face's field names."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from camelid.errors import UserError
from camelid.files.read import read_json
from finetune.llama.families import FAMILIES, FULL, LAYER_LISTS, OWN_FIELDS, SLIDING, Family, read_own_fields

# The ways to stretch rotary embeddings, and the fields of `rope_scaling` that each cannot do without.
ROPE_FIELDS: dict[str, tuple[str, ...]] = {
    "default": (),
    "linear": ("factor",),
    "dynamic": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
    "yarn": ("factor",),
}

SCORING = "ForSequenceClassification"  # how transformers' classes that give scores end


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
        attention_bias, mlp_bias: whether the linear layers have biases (never in published LLaMAs; Qwen2 has those of
            queries, keys and values).
        initializer_range: standard deviation of random weights.
        bos_token_id, eos_token_id, pad_token_id: special tokens; None = none.
        model_type: one of `FAMILIES`, which says what else the model has.
        sliding_window: how many tokens a token sees, itself included, in the layers that are narrowed; None = all.
        layer_types: of each layer, whether `sliding_window` narrows it (`sliding_attention`) or not
            (`full_attention`); None = as the family does.
        num_labels: 1 of a reward model, whose output layer gives a score instead of logits; None of a language model.
        no_rope_layers: of each layer, 1 if queries and keys are turned by their positions, 0 if not (so the file has
            it, whatever its name says); None = all are.
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
    model_type: str = "llama"
    sliding_window: int | None = None
    layer_types: tuple[str, ...] | None = None
    no_rope_layers: tuple[int, ...] | None = None
    num_labels: int | None = None

    def __post_init__(self) -> None:
        if self.model_type not in FAMILIES:
            raise UserError(f"model_type = {self.model_type!r} is not supported; known: {', '.join(FAMILIES)}")
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
        if self.num_labels is not None and (self.num_labels != 1 or self.tie_word_embeddings):
            raise UserError(f"num_labels = {self.num_labels}: only one score is given, by a layer of its own")
        self._check_layers()

    def _check_layers(self) -> None:
        """Refuse what the family has not, and lists that don't say one thing of each layer."""
        for name in OWN_FIELDS:
            fixed, value = self.family.fixed.get(name, False), getattr(self, name)
            if name not in self.family.fields and bool(value) != fixed:
                raise UserError(f"field {name!r} = {value} is not supported with model_type = {self.model_type!r}")
        if self.sliding_window is not None and self.sliding_window < 1:
            raise UserError(f"sliding_window = {self.sliding_window}: must be at least 1")
        for name, allowed in LAYER_LISTS.items():
            each = getattr(self, name)
            if each is not None and len(each) < self.num_hidden_layers:
                raise UserError(f"{name} has {len(each)} entries, num_hidden_layers = {self.num_hidden_layers}")
            for value in each or ():
                if value not in allowed:
                    raise UserError(f"{name}: {value!r} is not supported; known: {', '.join(map(str, allowed))}")
        if SLIDING in (self.layer_types or ()) and self.sliding_window is None:
            raise UserError(f"layer_types: {SLIDING!r} needs the field 'sliding_window'")

    @property
    def family(self) -> Family:
        return FAMILIES[self.model_type]

    @property
    def output_bias(self) -> bool:
        """Whether attention's output projection has a bias."""
        return self.attention_bias and self.family.output_bias

    def window(self, layer: int) -> int | None:
        """How many tokens before itself a token sees in a layer; None = all."""
        narrow = self.layer_types is None or self.layer_types[layer] == SLIDING
        return self.sliding_window - 1 if narrow and self.sliding_window is not None else None

    def turns(self, layer: int) -> bool:
        """Whether a layer has rotary embeddings."""
        return self.no_rope_layers is None or bool(self.no_rope_layers[layer])

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
        attention = width * (2 * heads + 2 * kv) + self.attention_bias * (heads + 2 * kv) + self.output_bias * width
        attention += 2 * self.head_size * self.family.head_norms
        feed_forward = 3 * width * self.intermediate_size
        feed_forward += self.mlp_bias * (2 * self.intermediate_size + width)
        layers = self.num_hidden_layers * (attention + feed_forward + 2 * width)
        output = self.num_labels if self.num_labels else 0 if self.tie_word_embeddings else self.vocab_size
        return layers + width + (self.vocab_size + output) * width

    @staticmethod
    def from_json(record: dict[str, Any], place: str) -> "LlamaConfig":
        """Read a Hugging Face `config.json`, of transformers 5 (`rope_parameters`) or before (`rope_theta`).

        Args:
            record: the parsed file.
            place: its name, for errors.

        Raises:
            UserError: it is of no family that is known, or asks for something the module does not compute.
        """
        try:
            values = read_own_fields(record)
            known = set(LlamaConfig.__dataclass_fields__) - {"rope_theta", "rope_scaling", "num_labels", *values}
            values |= {name: value for name, value in record.items() if name in known}
            family = FAMILIES[values["model_type"]]
            values = {name: value for name, value in family.defaults.items() if name in known} | values
            rope = dict(record.get("rope_parameters") or record.get("rope_scaling") or {})
            theta = rope.pop("rope_theta", record.get("rope_theta", family.defaults.get("rope_theta", 10000.0)))
            scaled = rope.get("rope_type", rope.get("type", "default")) != "default"
            if any(str(name).endswith(SCORING) for name in record.get("architectures") or ()):
                labels = record.get("id2label") or {"0": "", "1": ""}  # what transformers takes for none
                values |= {"num_labels": len(labels), "tie_word_embeddings": False}
            if isinstance(values.get("eos_token_id"), list):
                values["eos_token_id"] = values["eos_token_id"][0]
            config = LlamaConfig(**values, rope_theta=float(theta), rope_scaling=rope if scaled else None)
        except TypeError as error:
            raise UserError(f"{place}: {str(error).removeprefix('LlamaConfig.__init__() ')}") from None
        except UserError as error:
            raise UserError(f"{place}: {error}") from None
        # In full, so that a file that leaves them to their rule is equal to one that doesn't.
        return replace(config, num_key_value_heads=config.kv_heads, head_dim=config.head_size)

    @staticmethod
    def from_folder(folder: str | Path) -> "LlamaConfig":
        """Read the `config.json` of a model folder."""
        path = Path(folder) / "config.json"
        return LlamaConfig.from_json(read_json(path), str(path))

    def to_json(self) -> dict[str, Any]:
        """A `config.json` that transformers (4 and 5), vLLM and llama.cpp read."""
        scaling = self.rope_scaling or {}
        return {
            "architectures": [
                self.family.architecture.replace("ForCausalLM", SCORING if self.num_labels else "ForCausalLM")
            ],
            "model_type": self.model_type,
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
            **self._own_fields(),
            **({"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}} if self.num_labels else {}),
            "initializer_range": self.initializer_range,
            "bos_token_id": self.bos_token_id,
            "eos_token_id": self.eos_token_id,
            "pad_token_id": self.pad_token_id,
        }

    def _own_fields(self) -> dict[str, Any]:
        """Those that not every family has, each layer's in full."""
        record = {name: getattr(self, name) for name in self.family.fields}
        layers = range(self.num_hidden_layers)
        if "layer_types" in record:
            record["layer_types"] = [FULL if self.window(layer) is None else SLIDING for layer in layers]
            record["use_sliding_window"] = self.sliding_window is not None
        if self.family.windows == "from max_window_layers":
            record["max_window_layers"] = record["layer_types"].count(FULL)  # vLLM wants it, too
        if "no_rope_layers" in record:
            record["no_rope_layers"] = [int(self.turns(layer)) for layer in layers]
        return record
