"""The published shapes by name, of LLaMA and its near descendants.

Sources: LLaMA-1, Touvron et al. 2023a, table 2; LLaMA-2, Touvron et al. 2023b, table 1; Code Llama, Roziere et al.
2023, section 2; Llama 3 and 3.1, Grattafiori et al. 2024, table 3; TinyLlama, Zhang et al. 2024, table 1; Mistral 7B,
Jiang et al. 2023, table 1; Qwen2.5, Yang et al. 2024; Qwen3, Yang et al. 2025; SmolLM2, Allal et al. 2025; SmolLM3,
Bakouch et al. 2025. Base models, but Qwen3's as they are after tuning. Feed-forward widths, norm constants, context
lengths and rotary settings as in the `config.json` of each model on the Hugging Face hub.
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


def _qwen25(shape: LlamaConfig, vocab_size: int = 151936, tied: bool = False, eps: float = 1e-6) -> LlamaConfig:
    return replace(
        shape,
        model_type="qwen2",
        attention_bias=True,
        vocab_size=vocab_size,
        rms_norm_eps=eps,
        rope_theta=1e6,
        max_position_embeddings=32768 if tied else 131072,
        tie_word_embeddings=tied,
        bos_token_id=151643,
        eos_token_id=151643,
    )


def _qwen3(shape: LlamaConfig, tied: bool = False) -> LlamaConfig:
    return replace(
        shape,
        model_type="qwen3",
        head_dim=128,
        vocab_size=151936,
        rope_theta=1e6,
        max_position_embeddings=40960,
        tie_word_embeddings=tied,
        bos_token_id=151643,
        eos_token_id=151645,
    )


def _smollm2(shape: LlamaConfig, theta: float = 100000.0) -> LlamaConfig:
    return replace(
        shape,
        vocab_size=49152,
        rms_norm_eps=1e-5,
        rope_theta=theta,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
    )


def _smollm3(shape: LlamaConfig) -> LlamaConfig:
    return replace(
        _llama3(shape),
        model_type="smollm3",
        rms_norm_eps=1e-6,
        rope_theta=5e6,
        max_position_embeddings=65536,
        tie_word_embeddings=True,
        pad_token_id=128004,
        no_rope_layers=(1, 1, 1, 0) * (shape.num_hidden_layers // 4),
    )


def _mistral(window: int | None, vocab_size: int = 32000, theta: float = 10000.0) -> LlamaConfig:
    return replace(
        _8B,
        model_type="mistral",
        vocab_size=vocab_size,
        rms_norm_eps=1e-5,
        rope_theta=theta,
        max_position_embeddings=32768,
        sliding_window=window,
    )


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
    "mistral-7b-v0.1": _mistral(window=4096),
    "mistral-7b-v0.3": _mistral(window=None, vocab_size=32768, theta=1e6),
    "qwen2.5-0.5b": _qwen25(_shape(896, 4864, 24, 14, 2), tied=True),
    "qwen2.5-1.5b": _qwen25(_shape(1536, 8960, 28, 12, 2), tied=True),
    "qwen2.5-3b": _qwen25(_shape(2048, 11008, 36, 16, 2), tied=True),
    "qwen2.5-7b": _qwen25(_shape(3584, 18944, 28, 28, 4), vocab_size=152064),
    "qwen2.5-14b": _qwen25(_shape(5120, 13824, 48, 40, 8), vocab_size=152064, eps=1e-5),
    "qwen2.5-32b": _qwen25(_shape(5120, 27648, 64, 40, 8), vocab_size=152064, eps=1e-5),
    "qwen3-0.6b": _qwen3(_shape(1024, 3072, 28, 16, 8), tied=True),
    "qwen3-1.7b": _qwen3(_shape(2048, 6144, 28, 16, 8), tied=True),
    "qwen3-4b": _qwen3(_shape(2560, 9728, 36, 32, 8), tied=True),
    "qwen3-8b": _qwen3(_shape(4096, 12288, 36, 32, 8)),
    "qwen3-14b": _qwen3(_shape(5120, 17408, 40, 40, 8)),
    "qwen3-32b": _qwen3(_shape(5120, 25600, 64, 64, 8)),
    "smollm2-135m": _smollm2(_shape(576, 1536, 30, 9, 3)),
    "smollm2-360m": _smollm2(_shape(960, 2560, 32, 15, 5)),
    "smollm2-1.7b": _smollm2(_shape(2048, 8192, 24, 32, 32), theta=130000.0),
    "smollm3-3b": _smollm3(_shape(2048, 11008, 36, 16, 4)),
}


def get_architecture(name: str) -> LlamaConfig:
    """Return a published shape.

    Raises:
        UserError: no such name.
    """
    if name not in ARCHITECTURES:
        raise UserError(f"unknown architecture {name!r}{suggest_name(name, ARCHITECTURES)}")
    return ARCHITECTURES[name]
