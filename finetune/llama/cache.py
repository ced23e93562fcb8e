"""Keys and values of what a batch of sequences has already read, as the model sees them."""

from typing import Protocol

from torch import Tensor

from finetune.llama.attention import Documents


class KeyValues(Protocol):
    """What the model needs of a cache (`finetune.generate.slots` is one)."""

    def attend(self, layer: int, q_THd: Tensor, k_TKd: Tensor, v_TKd: Tensor, documents: Documents) -> Tensor:
        """Store the new keys and values, then attend from the new tokens to everything stored."""
        ...
