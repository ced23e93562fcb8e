"""Layers cut into stages, each on processes of its own, that work on different micro-batches at the same time.

The schedule is one forward, one backward (Narayanan et al. 2021, Megatron-LM on clusters, section 2.2.1): a stage runs
ahead by as many micro-batches as stages follow it, then takes turns, so no more than all stages' number wait for their
backward pass. Micro-batches may differ in length: every process knows the plan of the run and so the shape of every
message, and none is sent to say it.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor

from finetune.llama.model import Llama


class PassedOn(nn.Module):
    """In place of a part of the model that another stage holds: its input goes on as it is."""

    def forward(self, x: Tensor, *others: object, **options: object) -> Tensor:
        return x


class Counted(Protocol):
    """A micro-batch, of which the schedule knows how many tokens it has."""

    @property
    def tokens(self) -> int: ...


Batch = TypeVar("Batch", bound=Counted)


def stage_layers(layers: int, stages: int) -> list[range]:
    """The layers of each stage: as many on each, the first stages one more where they do not divide."""
    each, more = divmod(layers, stages)
    starts = [stage * each + min(stage, more) for stage in range(stages + 1)]
    return [range(start, end) for start, end in pairwise(starts)]


def cut_to_stage(model: Llama, stage: int, stages: int) -> None:
    """Take out of a model, in place, what other stages hold; the rest keeps its names.

    The first stage has the embedding, the last one norm, output layer and loss.
    """
    held = stage_layers(model.config.num_hidden_layers, stages)[stage]
    for index in range(model.config.num_hidden_layers):
        if index not in held:
            model.model.layers[index] = PassedOn()
    parts: Any = model.model
    if stage > 0:
        parts.embed_tokens = PassedOn()
    if stage < stages - 1:
        parts.norm = PassedOn()
        model.lm_head = PassedOn()  # type: ignore[assignment]


class Pipeline:
    """One process's place among the stages. Every process of its column of stages must make it together.

    Args:
        column: the processes that hold the stages of one share of the data, in order.
        shapes: of all weights of the whole model, in its order.
        width: of the hidden states that stages hand on.
        dtype: of these.
        device: where they are.

    Attributes:
        stage, stages: which of how many, from 0.
        first, last: whether it is at an end.
    """

    def __init__(
        self, column: DeviceMesh, shapes: Mapping[str, torch.Size], width: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.stage, self.stages = column.get_local_rank(), column.size()
        self.first, self.last = self.stage == 0, self.stage == self.stages - 1
        self._before = None if self.first else self.stage - 1
        self._behind = None if self.last else self.stage + 1
        self._group, self._shapes, self._width = column.get_group(), dict(shapes), width
        self._dtype, self._device = dtype, device
        distributed.all_reduce(torch.zeros(1, device=device), group=self._group)  # NCCL wants all of it to meet first

    def train(
        self,
        count: int,
        batches: Iterator[Batch],
        forward: Callable[[Batch, Tensor | None], Tensor],
        backward: Callable[[Tensor, Tensor | None, bool], None],
    ) -> None:
        """Forward and backward passes of this stage for all micro-batches of an update.

        Args:
            count: micro-batches; at least 1.
            batches: they, in order.
            forward: called with a micro-batch and the hidden states before this stage (None on the first); returns
                those behind it, or on the last stage the loss.
            backward: called with what `forward` returned, the gradient of it (None on the last stage) and whether it
                is the last micro-batch.
        """
        ahead = min(self.stages - 1 - self.stage, count)
        waiting: deque[tuple[int, Tensor | None, Tensor]] = deque()  # tokens, what came in, what went out

        def run_forward(batch: Batch, hidden_TD: Tensor | None) -> Tensor:
            out = forward(batch, hidden_TD)
            waiting.append((batch.tokens, hidden_TD, out))
            return out

        def run_backward(slope_TD: Tensor | None, last: bool) -> Tensor | None:
            _, hidden_TD, out = waiting.popleft()
            backward(out, slope_TD, last)
            return None if hidden_TD is None else hidden_TD.grad

        for _ in range(ahead):
            batch = next(batches)
            self._exchange(self._behind, run_forward(batch, self._receive(batch)), None)
        following = next(batches, None)
        hidden_TD = None if following is None else self._receive(following)
        for done in range(count - ahead):
            assert following is not None
            out = run_forward(following, hidden_TD)
            following = next(batches, None)
            slope_TD = run_backward(self._exchange(self._behind, out, waiting[0][0]), done == count - 1)
            hidden_TD = self._exchange(self._before, slope_TD, None if following is None else following.tokens)
            if hidden_TD is not None:
                hidden_TD.requires_grad_()
        for done in range(count - ahead, count):
            slope_TD = run_backward(self._exchange(self._behind, None, waiting[0][0]), done == count - 1)
            self._exchange(self._before, slope_TD, None)

    def score(self, tokens: int, forward: Callable[[Tensor | None], Tensor]) -> Tensor:
        """A forward pass alone, of so many tokens: what the last stage makes of them, 0 on the others."""
        out = forward(self._exchange(self._before, None, tokens))
        self._exchange(self._behind, out, None)
        return out if self.last else out.new_zeros(())

    def spread(self, values_n: Tensor, names: list[str]) -> Tensor:
        """(N,) one number of each weight of the whole model, in its order, of those of this stage's weights."""
        places = {name: place for place, name in enumerate(self._shapes)}
        whole_N = torch.zeros(len(places), dtype=values_n.dtype, device=self._device)
        whole_N[[places[name] for name in names]] = values_n.to(self._device)
        distributed.all_reduce(whole_N, group=self._group)
        return whole_N.to(values_n.device)

    def names_like(self, name: str) -> list[str]:
        """All weights of the whole model that are matrices, or vectors, as this one is."""
        dimensions = len(self._shapes[name])
        return [each for each, shape in self._shapes.items() if len(shape) == dimensions]

    def collect(self, weights: Mapping[str, Tensor], wanted: bool) -> dict[str, Tensor]:
        """All weights of the whole model on the first stage, on the host, one after the other.

        Args:
            weights: this stage's, by name.
            wanted: whether this column is to collect them; the processes of others help to put parts together.
        """
        state, dtype = {}, next(iter(weights.values())).dtype
        stage_of = self.spread(torch.full((len(weights),), float(self.stage), device=self._device), list(weights))
        for (name, shape), stage in zip(self._shapes.items(), stage_of.tolist(), strict=True):
            if name in weights:
                weight = weights[name].detach()
                whole = weight.full_tensor() if isinstance(weight, DTensor) else weight
                if wanted and not self.first:
                    distributed.send(whole.to(self._device).contiguous(), group=self._group, group_dst=0)
            elif wanted and self.first:
                whole = torch.empty(shape, dtype=dtype, device=self._device)
                distributed.recv(whole, group=self._group, group_src=int(stage))
            if wanted and self.first:
                state[name] = whole.to("cpu", copy=True)
        return state

    def _receive(self, batch: Counted) -> Tensor | None:
        """The hidden states before this stage, for training; None on the first."""
        hidden_TD = self._exchange(self._before, None, batch.tokens)
        return None if hidden_TD is None else hidden_TD.requires_grad_()

    def _exchange(self, stage: int | None, sent: Tensor | None, tokens: int | None) -> Tensor | None:
        """Send to a neighbour and receive from it at once, for it does the same; None where there is none.

        Args:
            stage: the neighbour.
            sent: what to send; None for nothing.
            tokens: of the micro-batch whose hidden states, or their gradient, to receive; None for nothing.
        """
        if stage is None:
            return None
        messages, received = [], None
        if sent is not None:
            what = sent.detach().contiguous()
            messages.append(distributed.P2POp(distributed.isend, what, group=self._group, group_peer=stage))
        if tokens is not None:
            received = torch.empty(tokens, self._width, dtype=self._dtype, device=self._device)
            messages.append(distributed.P2POp(distributed.irecv, received, group=self._group, group_peer=stage))
        for work in distributed.batch_isend_irecv(messages) if messages else []:
            work.wait()
        return received
