"""What tells LLaMA's near descendants apart, one object each, by the `model_type` of Hugging Face's `config.json`.

Sources: the published `config.json` of each model, and what transformers takes for a field that one leaves out
(`configuration_*.py` of each model).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from camelid.errors import UserError

SLIDING, FULL = "sliding_attention", "full_attention"

# Fields that would change what a model computes and that the module does not compute, each with the value that changes
# nothing; absent, null, false and 0 never do. Gemma's, Granite's, Phi's, Qwen's and Falcon's are among them.
NOT_COMPUTED: dict[str, Any] = {
    "quantization_config": None,
    "hidden_act": "silu",
    "hidden_activation": "silu",
    **dict.fromkeys(("attention_dropout", "hidden_dropout", "hidden_dropout_prob", "dropout"), 0.0),
    **dict.fromkeys(("resid_dropout", "resid_pdrop", "embd_dropout", "embd_pdrop", "classifier_dropout"), 0.0),
    **dict.fromkeys(("partial_rotary_factor", "embedding_multiplier", "residual_multiplier", "logits_scaling"), 1.0),
    **dict.fromkeys(("attention_multiplier", "query_pre_attn_scalar", "logit_scale"), None),
    **dict.fromkeys(("attn_logit_softcapping", "final_logit_softcapping", "clip_qkv"), None),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), 0),
    **dict.fromkeys(("use_qk_norm", "qk_norm", "qk_layernorm", "use_mrope", "use_bidirectional_attention"), False),
    **dict.fromkeys(("attention_chunk_size", "dual_chunk_attention_config", "attn_temperature_tuning"), None),
}

# Fields with an entry for each layer, and what an entry may be.
LAYER_LISTS: dict[str, tuple[Any, ...]] = {"layer_types": (FULL, SLIDING), "no_rope_layers": (0, 1)}


@dataclass(frozen=True)
class Family:
    """One model type.

    Attributes:
        architecture: transformers' class, which `config.json` names.
        fields: the fields of `LlamaConfig` that not every family has. The others stand at their defaults.
        fixed: fields whose value is the family's own and stands in no file.
        defaults: what a field is that the file leaves out, where it isn't `LlamaConfig`'s default.
        output_bias: whether `attention_bias` means the output projection, too.
        head_norms: whether each head of queries and keys is normalised before it is turned (Qwen3).
        windows: which layers `sliding_window` narrows if the file doesn't say: `all`; those `from max_window_layers`
            on; those without rotary embeddings (`unturned`).
    """

    architecture: str
    fields: tuple[str, ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    output_bias: bool = True
    head_norms: bool = False
    windows: str = "all"


QWEN = {"max_position_embeddings": 32768, "bos_token_id": None, "eos_token_id": None, "max_window_layers": 28}

FAMILIES: dict[str, Family] = {
    # Touvron et al. 2023a, 2023b; Grattafiori et al. 2024. SmolLM and SmolLM2 (Allal et al. 2025) are of this type.
    "llama": Family("LlamaForCausalLM", ("attention_bias", "mlp_bias")),
    # Jiang et al. 2023, Mistral 7B, section 2: every layer sees a sliding window.
    "mistral": Family(
        "MistralForCausalLM",
        ("sliding_window",),
        defaults={"num_key_value_heads": 8, "max_position_embeddings": 131072, "sliding_window": 4096},
    ),
    # Yang et al. 2024, Qwen2, section 2.2.1 (and Qwen2.5): biases of queries, keys and values.
    "qwen2": Family(
        "Qwen2ForCausalLM",
        ("sliding_window", "layer_types"),
        fixed={"attention_bias": True},
        defaults={**QWEN, "num_key_value_heads": 32, "sliding_window": 4096},
        output_bias=False,
        windows="from max_window_layers",
    ),
    # Yang et al. 2025, Qwen3, section 2: no such biases, but norms of queries and keys.
    "qwen3": Family(
        "Qwen3ForCausalLM",
        ("attention_bias", "sliding_window", "layer_types"),
        defaults={**QWEN, "num_key_value_heads": 32, "head_dim": 128, "sliding_window": 4096},
        head_norms=True,
        windows="from max_window_layers",
    ),
    # Bakouch et al. 2025, SmolLM3: every fourth layer has no rotary embeddings (Yang et al. 2025b, "RoPE to NoPE").
    "smollm3": Family(
        "SmolLM3ForCausalLM",
        ("attention_bias", "mlp_bias", "sliding_window", "layer_types", "no_rope_layers"),
        defaults={
            "num_key_value_heads": 4,
            "max_position_embeddings": 32768,
            "rope_theta": 2000000.0,
            "tie_word_embeddings": True,
            "bos_token_id": 128000,
            "eos_token_id": 128001,
            "pad_token_id": 128004,
        },
        windows="unturned",
    ),
}

# Fields that not every family has.
OWN_FIELDS = ("attention_bias", "mlp_bias", "sliding_window", *LAYER_LISTS)


def read_own_fields(record: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `LlamaConfig` that make a `config.json` one of its family: its name, biases, windows, rotation.

    Lists that say the same of every layer come back as None, so that equal models have equal fields.

    Raises:
        UserError: it is of no family that is known, or asks for something the module does not compute.
    """
    name = _family_name(record)
    family = FAMILIES[name]
    refuse_not_computed(record)
    given = {**family.defaults, **{key: record[key] for key in OWN_FIELDS if key in record}}
    values: dict[str, Any] = {key: given[key] for key in ("attention_bias", "mlp_bias") if key in given}
    turned = _read_turned(record, family)
    window, kinds = given.get("sliding_window"), _read_list(record, "layer_types")
    if "layer_types" in family.fields:
        window = window if record.get("use_sliding_window") else None
        kinds = kinds or [SLIDING if window and each else FULL for each in _narrow_layers(record, family, turned)]
        window = window if SLIDING in kinds else None
        kinds = None if all(kind == (SLIDING if window else FULL) for kind in kinds) else kinds
    return {
        **values,
        **family.fixed,
        "model_type": name,
        "sliding_window": window,
        "layer_types": None if kinds is None else tuple(kinds),
        "no_rope_layers": None if turned is None else tuple(turned),
    }


def _read_turned(record: Mapping[str, Any], family: Family) -> list[Any] | None:
    turned = _read_list(record, "no_rope_layers")
    if "no_rope_layers" in family.fields:
        layers, every = int(record.get("num_hidden_layers") or 0), record.get("no_rope_layer_interval") or 4
        turned = (turned or [int((layer + 1) % every != 0) for layer in range(layers)])[:layers]
        turned = None if all(each == 1 for each in turned) else turned
    return turned


def _narrow_layers(record: Mapping[str, Any], family: Family, turned: list[Any] | None) -> list[bool]:
    """Of each layer, whether a sliding window narrows it where no `layer_types` say."""
    layers = range(int(record.get("num_hidden_layers") or 0))
    if family.windows == "unturned":
        return [not each for each in turned or [1] * len(layers)]
    first = record.get("max_window_layers", family.defaults.get("max_window_layers", 0))
    return [layer >= first for layer in layers]


def refuse_not_computed(record: Mapping[str, Any]) -> None:
    """Refuse fields of other models.

    Raises:
        UserError: one of `NOT_COMPUTED` has a value that changes something.
    """
    rope = record.get("rope_parameters") or record.get("rope_scaling") or {}
    for key, value in rope.items():
        if isinstance(value, Mapping):
            raise UserError(f"field 'rope_parameters.{key}' is not supported: all layers turn by the same angles")
    for place, fields in (("", record), ("rope_parameters.", rope)):
        for key, neutral in NOT_COMPUTED.items():
            value = fields.get(key)
            if value and value != neutral:
                only = f"; only {neutral!r} is" if neutral else "; use a model without it"
                raise UserError(f"field {place + key!r} = {value!r} is not supported{only}")


def _family_name(record: Mapping[str, Any]) -> str:
    if "model_type" in record:
        name = record["model_type"]
        if name not in FAMILIES:
            raise UserError(f"model_type = {name!r} is not supported; known: {', '.join(FAMILIES)}")
        return str(name)
    named = record.get("architectures") or ["LlamaForCausalLM"]
    for name, family in FAMILIES.items():
        if family.architecture in named:
            return name
    raise UserError(f"architectures = {named!r}, without a model_type, is not supported; known: {', '.join(FAMILIES)}")


def _read_list(record: Mapping[str, Any], name: str) -> list[Any] | None:
    value = record.get(name)
    if value is not None and not isinstance(value, list):
        raise UserError(f"{name} = {value!r}: expected a list with an entry for each layer")
    return value
