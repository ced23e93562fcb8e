"""NEFTune: noise as large as the paper says, in training only."""

from pathlib import Path

import torch

from finetune.folders import weights
from finetune.objectives.neftune import noisy_embeddings


def test_noise_of_each_document(toy_model: Path) -> None:
    """Uniform in [-1, 1] * alpha / sqrt(L * D), L the document's own length; gone after the block."""
    model = weights.load_model(toy_model)
    ids, lengths, alpha, width = torch.arange(3, 123), [20, 100], 5.0, model.config.hidden_size
    torch.manual_seed(0)
    with noisy_embeddings(model, lengths, alpha):
        noise = model.model.embed_tokens(ids) - model.model.embed_tokens.weight[ids]
    for part, length in zip(noise.split(lengths), lengths, strict=True):
        largest = alpha / (length * width) ** 0.5
        assert 0.9 * largest < part.abs().max() <= largest * 1.0001
        assert abs(float(part.std()) / (largest / 3**0.5) - 1) < 0.1
    assert torch.equal(model.model.embed_tokens(ids), model.model.embed_tokens.weight[ids])
