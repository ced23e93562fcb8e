"""A model's loss at every token of one long text, read in parts that look back at all before them.

Shapes: T tokens of a part, M tokens read so far, H query heads, K key and value heads, d head width.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, scaled_dot_product_attention

from finetune.llama.attention import Documents
from finetune.llama.model import Llama
from finetune.llama.packed_attention import seen

PART = 1024  # tokens read at once: logits of 1024 x 32,000 x 4 bytes are 125 MiB


class TextCache:
    """Keys and values of one text (see `finetune.llama.cache`).

    Args:
        layers: of the model.
        tokens: of the text.
    """

    def __init__(self, layers: int, tokens: int) -> None:
        self._tokens, self._read = tokens, [0] * layers
        self._keys, self._values = [torch.empty(0)] * layers, [torch.empty(0)] * layers
        self._masks: dict[int | None, Tensor] = {}  # of the part that is being read, by window

    def attend(self, layer: int, q_THd: Tensor, k_TKd: Tensor, v_TKd: Tensor, documents: Documents) -> Tensor:
        """Store the part's keys and values, then attend from it to all that was read."""
        for buffers, x_TKd in ((self._keys, k_TKd), (self._values, v_TKd)):
            if not self._read[layer]:
                buffers[layer] = x_TKd.new_empty(x_TKd.shape[1], self._tokens, x_TKd.shape[2])
            buffers[layer][:, self._read[layer] : self._read[layer] + len(x_TKd)] = x_TKd.transpose(0, 1)
        self._read[layer] += len(k_TKd)
        read = self._read[layer]
        if layer == 0:
            self._masks = {}
        if documents.window not in self._masks:
            self._masks[documents.window] = seen(len(q_THd), read, documents.window, q_THd.device)
        out_1HTd = scaled_dot_product_attention(
            q_THd.transpose(0, 1)[None],
            self._keys[layer][None, :, :read],
            self._values[layer][None, :, :read],
            attn_mask=self._masks[documents.window],
            enable_gqa=q_THd.shape[1] != k_TKd.shape[1],
        )
        return out_1HTd[0].transpose(0, 1)


@torch.inference_mode()
def losses_along(model: Llama, ids: Sequence[int], part: int = PART) -> npt.NDArray[np.float32]:
    """Nats at each token but the first, given all before it.

    Args:
        model: in eval mode; the text may be longer than its context.
        ids: of the text, at least two.
        part: tokens read at once. With dynamic scaling the whole text is, as positions then depend on its length.

    Returns:
        (n - 1,) losses.
    """
    device = model.lm_head.weight.device
    if model.config.rope_type == "dynamic":
        part = len(ids)
    ids_N = torch.tensor(ids, device=device)
    cache = TextCache(model.config.num_hidden_layers, len(ids))
    losses = []
    for start in range(0, len(ids), part):
        ids_T = ids_N[start : start + part]
        positions_T = torch.arange(start, start + len(ids_T), device=device)
        logits_TV = model(ids_T, positions_T, Documents.from_lengths([len(ids_T)], device), cache=cache)
        targets_T = ids_N[start + 1 : start + 1 + part]  # the last part has one fewer: nothing follows
        losses.append(cross_entropy(logits_TV[: len(targets_T)].float(), targets_T, reduction="none").cpu())
    found: npt.NDArray[np.float32] = torch.cat(losses).numpy()
    return found
