"""What is seen of preferences while they are trained on: how often the preferred answer comes first, by grade."""

from collections.abc import Callable

import torch
from torch import Tensor

from conversations.preference import GRADES

NAMES = ("chosen", "rejected")


class PairFacts:
    """Sums over an update, on this process."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}

    def forget(self) -> None:
        """Begin anew."""
        self._sums = {}

    def note_pairs(self, rewards: Tensor, log_probs: Tensor | None, grades: Tensor) -> None:
        """Count pairs.

        Args:
            rewards: (2 P,) of the chosen and the rejected answer of each pair, in turn.
            log_probs: (2 P,) of the answers, nats; None where there are none.
            grades: (P,) of the pairs; negative where it is not known.
        """
        better = rewards.view(-1, 2)
        difference = better[:, 0] - better[:, 1]
        right = (difference > 0).double() + 0.5 * (difference == 0)
        self._add("accuracy", right)
        self._add("margin", difference)
        for column, name in enumerate(NAMES):
            self._add(f"{name}_reward", better[:, column])
            if log_probs is not None:
                self._add(f"{name}_log_prob", log_probs.view(-1, 2)[:, column])
        for grade in range(len(GRADES)):
            self._add(f"accuracy_grade_{grade}", right[grades == grade])

    def note_labels(self, rewards: Tensor, log_probs: Tensor, labels: Tensor) -> None:
        """Count single answers; those without a label (negative) are left out."""
        for label, name in ((1, "wanted"), (0, "unwanted")):
            self._add(f"{name}_reward", rewards[labels == label])
            self._add(f"{name}_log_prob", log_probs[labels == label])

    def facts(self, total: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """The means over the shares of all processes; NaN of what there was none of is left out."""
        names = list(self._sums)
        sums = total(torch.stack([self._sums[name] for name in names])).tolist()
        return {name: value / count for name, (value, count) in zip(names, sums, strict=True) if count}

    def _add(self, name: str, values: Tensor) -> None:
        more = torch.stack([values.double().sum(), values.new_tensor(values.numel(), dtype=torch.float64)])
        self._sums[name] = self._sums[name] + more if name in self._sums else more
