"""Noise on the embeddings in training (Jain et al. 2023, NEFTune)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from finetune.llama.model import Llama


@contextmanager
def noisy_embeddings(model: Llama, lengths: Sequence[int], alpha: float) -> Iterator[None]:
    """Add uniform noise in [-1, 1] * alpha / sqrt(L * D) to the embeddings of a document of L tokens (algorithm 1).

    Args:
        model: whose embedding layer is D wide.
        lengths: L of each document of the coming forward pass.
        alpha: the recipe's `optim.neftune`.
    """
    sizes = torch.tensor(lengths)

    def add(module: nn.Module, inputs: tuple[Tensor, ...], output_TD: Tensor) -> Tensor:
        scale_T1 = (alpha / (sizes * output_TD.shape[-1]).float().sqrt()).repeat_interleave(sizes)[:, None]
        noise_TD = torch.empty_like(output_TD).uniform_(-1.0, 1.0)
        return output_TD + noise_TD * scale_T1.to(output_TD)

    hook = model.model.embed_tokens.register_forward_hook(add)
    try:
        yield
    finally:
        hook.remove()
