"""The published LLaMA shapes by name.

Sources: LLaMA-1, Touvron et al. 2023a, table 2; LLaMA-2, Touvron et al. 2023b, table 1; Code Llama, Roziere et al.
2023, section 2; Llama 3 and 3.1, Grattafiori et al. 2024, table 3; TinyLlama, Zhang et al. 2024, table 1. Feed-forward
widths, norm constants, context lengths and rotary settings as in the `config.json` of each model on the Hugging Face
hub.
"""

from dataclasses import replace

from camelid.errors import UserError, suggest_name
from finetune.llama.config import LlamaConfig


def _shape(width: int, inner: int, layers: int, heads: int, kv_heads: int | None = None) -> LlamaConfig:
    """A LLaMA-1 of these sizes."""
    return LlamaConfig(
        vocab_size=32000,
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
    )


def _llama2(shape: LlamaConfig) -> LlamaConfig:
    return replace(shape, rms_norm_eps=1e-5, max_position_embeddings=4096)


def _code(shape: LlamaConfig, vocab_size: int = 32016) -> LlamaConfig:
    """Code Llama: 16 infilling tokens more (but for the 34B), a wider rotary base, a longer context."""
    return replace(_llama2(shape), vocab_size=vocab_size, rope_theta=1e6, max_position_embeddings=16384)


def _llama3(shape: LlamaConfig) -> LlamaConfig:
    return replace(
        shape,
        vocab_size=128256,
        rms_norm_eps=1e-5,
        rope_theta=500000.0,
        max_position_embeddings=8192,
        bos_token_id=128000,
        eos_token_id=128001,
    )


def _llama31(shape: LlamaConfig, factor: float = 8.0, tied: bool = False) -> LlamaConfig:
    scaling = {
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    return replace(_llama3(shape), rope_scaling=scaling, max_position_embeddings=131072, tie_word_embeddings=tied)


_7B, _13B = _shape(4096, 11008, 32, 32), _shape(5120, 13824, 40, 40)
_8B, _70B = _shape(4096, 14336, 32, 32, 8), _shape(8192, 28672, 80, 64, 8)

ARCHITECTURES: dict[str, LlamaConfig] = {
    "llama-7b": _7B,
    "llama-13b": _13B,
    "llama-33b": _shape(6656, 17920, 60, 52),
    "llama-65b": replace(_shape(8192, 22016, 80, 64), rms_norm_eps=1e-5),
    "llama-2-7b": _llama2(_7B),
    "llama-2-13b": _llama2(_13B),
    "llama-2-70b": _llama2(_70B),
    "code-llama-7b": _code(_7B),
    "code-llama-13b": _code(_13B),
    "code-llama-34b": _code(_shape(8192, 22016, 48, 64, 8), vocab_size=32000),
    "code-llama-70b": _code(_70B),
    "llama-3-8b": _llama3(_8B),
    "llama-3-70b": _llama3(_70B),
    "llama-3.1-8b": _llama31(_8B),
    "llama-3.1-8b-instruct": _llama31(_8B),
    "llama-3.1-70b": _llama31(_70B),
    "llama-3.1-405b": _llama31(_shape(16384, 53248, 126, 128, 8)),
    "llama-3.2-1b": _llama31(_shape(2048, 8192, 16, 32, 8), factor=32.0, tied=True),
    "llama-3.2-3b": _llama31(_shape(3072, 8192, 28, 24, 8), factor=32.0, tied=True),
    "tinyllama-1.1b": replace(_shape(2048, 5632, 22, 32, 4), rms_norm_eps=1e-5),
}


def get_architecture(name: str) -> LlamaConfig:
    """Return a published shape.

    Raises:
        UserError: no such name.
    """
    if name not in ARCHITECTURES:
        raise UserError(f"unknown architecture {name!r}{suggest_name(name, ARCHITECTURES)}")
    return ARCHITECTURES[name]
