"""Peak rates of accelerators, and how near to them a run comes."""

from dataclasses import dataclass

from finetune.llama.config import LlamaConfig


@dataclass(frozen=True)
class GpuModel:
    """One kind of GPU.

    Attributes:
        flops: dense bfloat16 operations a second with float32 accumulation.
        memory: bytes.
        link: bytes a second in each direction to the other GPUs of the machine.
        network: bytes a second in each direction to other machines, of each GPU.
        bandwidth: bytes a second between its memory and its processors.
    """

    flops: float
    memory: float
    link: float
    network: float
    bandwidth: float


# NVIDIA's data sheets (dense, without sparsity): H100 and H200 2023, A100 2021, L40S 2023, RTX 4090 2022 (Ada
# whitepaper, appendix A), B200 2024. Links: NVLink, else PCIe. Networks: those of DGX A100 (200 Gb/s a GPU, as LLaMA's
# cluster had), DGX H100 and DGX B200 (400 Gb/s); 100 Gb/s a GPU for the others. The first name found in the device's
# name counts.
ACCELERATORS = {
    "B200": GpuModel(2250e12, 180e9, 900e9, 50e9, 8e12),
    "H200": GpuModel(989e12, 141e9, 450e9, 50e9, 4.8e12),
    "H100 PCIe": GpuModel(756e12, 80e9, 64e9, 12.5e9, 2e12),
    "H100": GpuModel(989e12, 80e9, 450e9, 50e9, 3.35e12),
    "A100": GpuModel(312e12, 80e9, 300e9, 25e9, 2.039e12),
    "L40S": GpuModel(362e12, 48e9, 32e9, 12.5e9, 864e9),
    "RTX 4090": GpuModel(165e12, 24e9, 32e9, 12.5e9, 1008e9),
}


def peak_flops(device_name: str) -> float | None:
    """Peak of the named device, None if it is not known."""
    return next((kind.flops for name, kind in ACCELERATORS.items() if name in device_name), None)


def flops_per_token(
    config: LlamaConfig, mean_length: float, trained_share: float = 1.0, adapter: bool = False
) -> float:
    """Operations a token costs forwards and backwards: 6 a weight it meets (Kaplan et al. 2020, section 2.1).

    Args:
        config: the model. The embedding is a look-up; the output layer counts at trained positions only.
        mean_length: tokens of the document a token is in, on average over tokens. Attention costs 12 operations a
            layer, unit of width and token looked at (Chowdhery et al. 2022, PaLM, appendix B), half of them if causal;
            where a window is narrower than that, what is beyond it costs nothing.
        trained_share: share of the tokens that are trained.
        adapter: whether the weights are frozen, so that their gradients (2 of the 6) are not computed.
    """
    embedding = config.vocab_size * config.hidden_size
    head = config.num_labels * config.hidden_size if config.num_labels else embedding
    inner = config.num_parameters() - embedding - (0 if config.tie_word_embeddings else head)
    per_weight = 4 if adapter else 6
    looked_at = sum(_looked_at(mean_length, config.window(layer)) for layer in range(config.num_hidden_layers))
    attention = 12 * config.num_attention_heads * config.head_size * looked_at
    return per_weight * (inner + head * trained_share) + attention


def _looked_at(length: float, window: int | None) -> float:
    """Tokens before it that a token of a document sees, on average; at most `window` of them."""
    if window is None or window >= length:
        return length / 2
    return window - window**2 / (2 * length)
