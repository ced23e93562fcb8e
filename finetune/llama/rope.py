"""Rotary position embeddings (Su et al. 2021, RoFormer) and the ways to stretch them to longer contexts.

Shapes: T tokens, d head width, f = d / 2 frequencies.
"""

import math
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from camelid.errors import UserError
from finetune.llama.attention import Documents
from finetune.llama.config import LlamaConfig


def apply_rotary(x_THd: Tensor, cos_Td: Tensor, sin_Td: Tensor) -> Tensor:
    """Turn each pair of dimensions; in Hugging Face's layout dimension i pairs with i + d/2.

    Args:
        x_THd: queries or keys.
        cos_Td: of `rotary_cos_sin`.
        sin_Td: the same, so with a minus on the first d/2.
    """
    if torch.compiler.is_compiling() or not x_THd.requires_grad:
        return _turn(x_THd, cos_Td, sin_Td)
    out: Tensor = _RotaryFunction.apply(x_THd, cos_Td, sin_Td)  # type: ignore[no-untyped-call]
    return out


def _turn(x_THd: Tensor, cos_Td: Tensor, sin_Td: Tensor) -> Tensor:
    # Meta's own code pairs neighbours, 2i and 2i + 1. In Hugging Face's folders the rows of q_proj and k_proj are
    # reordered so that halves pair instead (folders/meta.py does that to Meta's files), which leaves the scores q.k as
    # they are. (a, b) turned by an angle is (a cos - b sin, b cos + a sin): the minus is on the first half's sines.
    # Back to what came: under autocast cosines are float32, and queries and keys must have the values' precision.
    wide_THd = x_THd.to(torch.promote_types(x_THd.dtype, cos_Td.dtype))
    first, second = wide_THd.chunk(2, dim=-1)
    turned_THd = torch.cat((second, first), dim=-1).mul_(sin_Td[:, None])
    return turned_THd.addcmul_(wide_THd, cos_Td[:, None]).to(x_THd.dtype)


class _RotaryFunction(torch.autograd.Function):
    """Keeps nothing of its input: the gradient of a turn is a turn back."""

    @staticmethod
    def forward(ctx: Any, x_THd: Tensor, cos_Td: Tensor, sin_Td: Tensor) -> Tensor:
        ctx.save_for_backward(cos_Td, sin_Td)
        return _turn(x_THd, cos_Td, sin_Td)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        cos_Td, sin_Td = ctx.saved_tensors
        return _turn(grads[0], cos_Td, -sin_Td), None, None


def rotary_cos_sin(
    config: LlamaConfig, positions_T: Tensor, documents: Documents, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Cosines and sines, (T, d) each, of the angle of each token and dimension; the first d/2 sines have a minus."""
    device = positions_T.device
    # Angles in float32 at least, whatever the run computes in: in bfloat16, with 8 bits of precision, positions beyond
    # 256 would share angles. Only cosines and sines are rounded to `dtype`.
    wide = torch.promote_types(dtype, torch.float32)
    with torch.autocast(device.type, enabled=False):
        if config.rope_type == "dynamic":
            # The base depends on how long a document is so far; a document's last position says that, also while it is
            # being generated, when T holds its newest token alone.
            ends = documents.starts[1 : len(documents.lengths) + 1].long() - 1
            pieces = [position + 1 for position in positions_T[ends].tolist()]
            if documents.prompts is not None and max(pieces) > config.max_position_embeddings:
                # Each answer would want the prompt's keys turned by a base of its own.
                raise UserError(
                    f"rope_scaling.rope_type = 'dynamic': answers that share a prompt must end within "
                    f"max_position_embeddings = {config.max_position_embeddings}, not at {max(pieces)}; shorten them"
                )
            rows = [rotary_frequencies(config, length) for length in pieces]
            lengths = torch.tensor(documents.lengths, device=device)
            frequencies_Tf = torch.tensor(rows, dtype=wide, device=device).repeat_interleave(lengths, dim=0)
            angles_Tf = positions_T.to(wide)[:, None] * frequencies_Tf
        else:
            frequencies_f = _on_device(tuple(rotary_frequencies(config)), wide, device)
            angles_Tf = torch.outer(positions_T.to(wide), frequencies_f)
        scale = attention_factor(config)
        cos_Tf, sin_Tf = (angles_Tf.cos() * scale).to(dtype), (angles_Tf.sin() * scale).to(dtype)
        # Dimensions i and i + d/2 turn together.
        return torch.cat((cos_Tf, cos_Tf), dim=1), torch.cat((-sin_Tf, sin_Tf), dim=1)


@lru_cache(maxsize=16)
def _on_device(frequencies: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Copied once: a GPU's host would wait for the copy in each forward pass."""
    with torch.inference_mode(False):
        return torch.tensor(frequencies, dtype=dtype, device=device)


def rotary_frequencies(config: LlamaConfig, length: int = 0) -> list[float]:
    """Angular frequency of each pair of dimensions, radians a token (RoFormer, eq. 15).

    Args:
        config: `rope_scaling` chooses the rule:
            `linear` divides every frequency by `factor` (Chen et al. 2023, position interpolation, eq. 4);
            `dynamic` raises the base for documents beyond the trained context (NTK-aware scaling as in
            transformers, modeling_rope_utils.py, `_compute_dynamic_ntk_parameters`);
            `llama3` slows long wavelengths by `factor`, keeps short ones, blends between
            (github.com/meta-llama/llama-models, models/llama3/model.py, `apply_scaling`);
            `yarn` does so by dimension (Peng et al. 2023, section 3.2).
        length: tokens of the document; only `dynamic` looks at it.
    """
    size, base, scaling = config.head_size, config.rope_theta, config.rope_scaling or {}
    if config.rope_type == "dynamic":
        context = config.max_position_embeddings
        stretch = scaling["factor"] * max(length, context) / context - (scaling["factor"] - 1)
        base *= stretch ** (size / (size - 2))
    # In float32, as Meta's code and transformers do: at position 100,000 the last bit of a frequency is 0.006 radians.
    plain_f = 1.0 / base ** (torch.arange(0, size, 2, dtype=torch.float32, device="cpu") / size)
    if config.rope_type == "linear":
        plain_f = plain_f / scaling["factor"]
    elif config.rope_type in ("llama3", "yarn"):
        kept_f = _llama3_share(plain_f, scaling) if config.rope_type == "llama3" else _yarn_share(config)
        plain_f = (1 - kept_f) * plain_f / _factor(config) + kept_f * plain_f
    frequencies: list[float] = plain_f.tolist()
    return frequencies


def attention_factor(config: LlamaConfig) -> float:
    """What cosines and sines are multiplied by: YaRN's temperature (Peng et al. 2023, eq. 22), else 1."""
    scaling = config.rope_scaling or {}
    if config.rope_type != "yarn":
        return 1.0
    if scaling.get("attention_factor") is not None:
        return float(scaling["attention_factor"])
    factor, scale, scale_all = _factor(config), scaling.get("mscale"), scaling.get("mscale_all_dim")
    if scale and scale_all:
        return _mscale(factor, scale) / _mscale(factor, scale_all)
    return _mscale(factor, 1.0)


def _factor(config: LlamaConfig) -> float:
    scaling = config.rope_scaling or {}
    if scaling.get("factor") is not None:
        return float(scaling["factor"])
    return config.max_position_embeddings / float(scaling["original_max_position_embeddings"])


def _mscale(factor: float, scale: float) -> float:
    return 0.1 * scale * math.log(factor) + 1.0 if factor > 1 else 1.0


def _llama3_share(plain_f: Tensor, scaling: dict[str, float]) -> Tensor:
    """How much of each frequency stays: all of those that turn often within the trained context."""
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    original = scaling["original_max_position_embeddings"]
    wavelengths_f = 2 * math.pi / plain_f
    return ((original / wavelengths_f - low) / (high - low)).clamp(0, 1)


def _yarn_share(config: LlamaConfig) -> Tensor:
    """How much of each frequency stays, falling from 1 to 0 between two dimensions (YaRN, eq. 18 to 20)."""
    scaling, size = config.rope_scaling or {}, config.head_size
    original = scaling.get("original_max_position_embeddings", config.max_position_embeddings)

    def dimension(turns: float) -> float:
        return size * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(config.rope_theta))

    low, high = dimension(scaling.get("beta_fast") or 32), dimension(scaling.get("beta_slow") or 1)
    if scaling.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, size - 1)
    width = (high - low) or 0.001
    return 1 - ((torch.arange(size // 2, dtype=torch.float32, device="cpu") - low) / width).clamp(0, 1)
