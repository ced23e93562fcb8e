"""Loss by position: what a model gains from what it read before, and where it stops to gain or loses its way."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from camelid.charts import line_chart
from camelid.files.ledger import Ledger
from camelid.files.write import write_json
from finetune.context.along_text import losses_along
from finetune.llama.model import Llama

BINS = 64  # of the curve, at most
NARROWEST = 64  # positions of a bin, at least


@dataclass(frozen=True)
class PositionLoss:
    """The mean over some positions, of all texts.

    Attributes:
        first, last: the positions of the tokens that are predicted, from 1 (the token behind the first).
        tokens: of all texts.
        loss: nats a token.
    """

    first: int
    last: int
    tokens: int
    loss: float


def losses_by_position(
    model: Llama, texts: Iterable[npt.NDArray[np.int32]], positions: int, ledger: Ledger
) -> list[PositionLoss]:
    """Read the beginning of every text that is long enough, so that all positions are measured on the same texts.

    Args:
        model: in eval mode.
        texts: token ids of each.
        positions: tokens to read of each.
        ledger: counts the texts; shorter ones are dropped.

    Returns:
        The curve; empty if no text is long enough.
    """
    sums = np.zeros(positions - 1)
    for ids in texts:
        if len(ids) < positions:
            ledger.drop(f"shorter than {positions} tokens")
            continue
        ledger.keep()
        sums += losses_along(model, ids[:positions].tolist())
    if not ledger.kept:
        return []
    width = max(NARROWEST, -(-len(sums) // BINS))
    starts = range(0, len(sums), width)
    bins = [(start, sums[start : start + width]) for start in starts]
    return [
        PositionLoss(start + 1, start + len(part), len(part) * ledger.kept, float(part.mean()) / ledger.kept)
        for start, part in bins
    ]


def write_position_losses(folder: Path, curve: list[PositionLoss], facts: dict[str, Any]) -> None:
    """Write `positions.json`, `positions.svg` and `.png` into a folder."""
    write_json(folder / "positions.json", {**facts, "positions": [asdict(point) for point in curve]})
    points = [((point.first + point.last) / 2, point.loss) for point in curve]
    line_chart(folder / "positions.svg", {"loss": points}, "Loss by position", "position, tokens", "nats per token")
