"""Operations of a token and peaks of devices, as published."""

from dataclasses import replace

import pytest

from finetune.llama.architectures import get_architecture
from finetune.parallel.hardware import flops_per_token, peak_flops


def test_operations_of_a_token() -> None:
    """6 a weight but the embedding's, as in Kaplan et al.; the peaks of devices as their drivers name them."""
    config = get_architecture("llama-7b")
    without_embedding = config.num_parameters() - 32000 * 4096
    assert flops_per_token(config, 0, 1.0, False) == 6 * without_embedding
    assert peak_flops("NVIDIA H100 80GB HBM3") == 989e12 and peak_flops("NVIDIA H100 PCIe") == 756e12
    assert peak_flops("a toaster") is None


@pytest.mark.parametrize("window", [100, 1000, 5000])
def test_what_lies_beyond_a_window_costs_nothing(window: int) -> None:
    """Every pair of tokens that see each other, counted; a window holds the token itself."""
    config = replace(get_architecture("mistral-7b-v0.1"), sliding_window=window)
    with_attention, without = flops_per_token(config, 3000), flops_per_token(config, 0)
    pairs = sum(min(place, window - 1) for place in range(3000))
    assert with_attention - without == pytest.approx(12 * 32 * 32 * 128 * pairs / 3000, rel=2e-3)
