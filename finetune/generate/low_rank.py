"""Several low-rank adapters on one model in memory: each sequence of a pass gets its own.

Shapes: T tokens, D inputs and O outputs of a linear layer, r rank.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from finetune.llama.attention import Documents
from finetune.llama.model import Llama


@dataclass(frozen=True, eq=False)
class LowRank:
    """What an adapter adds to a linear layer.

    Attributes:
        down: (r, D) the first matrix.
        up: (O, r) the second one, its scale multiplied in.
        gain: (O,) DoRA's (Liu et al. 2024, equation 5): what the sum of both products is multiplied by, its magnitude
            over the norms of the changed weight's rows; None of plain LoRA.
    """

    down: Tensor
    up: Tensor
    gain: Tensor | None = None

    def add(self, x_TD: Tensor, out_TO: Tensor, bias_O: Tensor | None) -> Tensor:
        """The layer's output with the adapter, from its output without."""
        low_TO = (x_TD.to(self.down.dtype) @ self.down.T @ self.up.T).to(out_TO.dtype)
        if self.gain is None:
            return out_TO + low_TO
        plain_TO = out_TO if bias_O is None else out_TO - bias_O
        changed_TO = (plain_TO + low_TO) * self.gain
        return changed_TO if bias_O is None else changed_TO + bias_O


@dataclass(frozen=True, eq=False)
class LowRankAdapter:
    """One adapter; told apart by identity.

    Attributes:
        layers: by the name of the linear layer.
        end_ids: tokens that end its answers, beside the base's.
    """

    layers: dict[str, LowRank]
    end_ids: frozenset[int] = frozenset()

    @property
    def bytes(self) -> int:
        """Memory that it takes beside the base."""
        tensors = [x for layer in self.layers.values() for x in (layer.down, layer.up, layer.gain)]
        return sum(x.nbytes for x in tensors if x is not None)


class AdaptedModel:
    """A model as `Decoder.call` that gives each document of a pass its adapter. The model itself stays as it is.

    Args:
        model: its linear layers, but the output layer, get a hook that does nothing while no adapter is told.
    """

    def __init__(self, model: Llama) -> None:
        self._model = model
        self._now: list[tuple[LowRankAdapter, Tensor | None]] = []  # whose tokens of the pass are which; None: all
        for name, layer in model.named_modules():
            if isinstance(layer, nn.Linear) and layer is not model.output:
                layer.register_forward_hook(self._hook(name))

    def __call__(
        self,
        input_ids_T: Tensor,
        positions_T: Tensor,
        documents: Documents,
        adapters: Sequence[LowRankAdapter | None] = (),
        head: Callable[[Tensor, nn.Module], Tensor] | None = None,
        **named: Any,
    ) -> Tensor:
        """See `Llama.forward`; `adapters` are the documents', if any has one."""
        with self._telling(adapters, documents):
            out: Tensor = self._model(input_ids_T, positions_T, documents, head=head, **named)
        return out

    @contextmanager
    def _telling(self, adapters: Sequence[LowRankAdapter | None], documents: Documents) -> Iterator[None]:
        lengths = documents.lengths if adapters else ()
        of_token = [adapter for adapter, length in zip(adapters, lengths, strict=True) for _ in range(length)]
        for adapter in dict.fromkeys(each for each in adapters if each is not None):
            places = [place for place, each in enumerate(of_token) if each is adapter]
            whole = len(places) == len(of_token)
            self._now.append((adapter, None if whole else torch.tensor(places, device=documents.starts.device)))
        try:
            yield
        finally:
            self._now = []

    def _hook(self, name: str) -> Callable[[nn.Module, tuple[Tensor], Tensor], Tensor | None]:
        def add(layer: nn.Module, inputs: tuple[Tensor], out_TO: Tensor) -> Tensor | None:
            for adapter, places_t in self._now:
                low = adapter.layers.get(name)
                if low is None:
                    continue
                bias: Tensor | None = layer.bias  # type: ignore[assignment]
                if places_t is None:
                    out_TO = low.add(inputs[0], out_TO, bias)
                else:
                    out_TO[places_t] = low.add(inputs[0][places_t], out_TO[places_t], bias)
            return out_TO if self._now else None

        return add
