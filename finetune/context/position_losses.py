"""Loss by position: what a model gains from what it read before, and where it stops to gain or loses its way."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from camelid.charts import line_chart
from camelid.files.ledger import Ledger
from camelid.files.write import write_json
from camelid.progress import Progress
from conversations.tokens.open_tokenizer import open_tokenizer
from finetune.context.along_text import losses_along
from finetune.data.forms.text import encode_texts
from finetune.data.sources import read_source
from finetune.folders.open_folder import open_weights
from finetune.folders.vocabulary import require_rows
from finetune.llama.model import Llama
from finetune.recipe import DataSource

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


def losses_of_files(
    folder: Path, files: Sequence[str], positions: int, quiet: bool
) -> tuple[Ledger, list[PositionLoss]]:
    """Read texts with a model; see `losses_by_position`.

    Args:
        folder: the model.
        files: files or folders of texts, or data sets on the hub.
        positions: tokens to read of each; may be more than the model was made for.
        quiet: no progress display.

    Raises:
        UserError: a file is missing or broken, or the tokenizer has more tokens than the model.
    """
    tokenizer, model, ledger = open_tokenizer(folder), open_weights(folder), Ledger("texts")
    require_rows([len(tokenizer) - 1], tokenizer, folder)
    sources = [DataSource(path, form="text") for path in files]
    texts = chain.from_iterable(map(read_source, sources))
    with Progress("read", None, quiet) as bar:

        def shown() -> Iterator[npt.NDArray[np.int32]]:
            for ids in encode_texts(texts, tokenizer, Ledger("texts")):
                yield ids
                bar.update(ledger.kept, f"{ledger.kept:,} long texts of {ledger.read:,}")

        curve = losses_by_position(model, shown(), positions, ledger)
    return ledger, curve


def write_position_losses(folder: Path, curve: list[PositionLoss], facts: dict[str, Any]) -> None:
    """Write `positions.json`, `positions.svg` and `.png` into a folder."""
    write_json(folder / "positions.json", {**facts, "positions": [asdict(point) for point in curve]})
    points = [((point.first + point.last) / 2, point.loss) for point in curve]
    line_chart(folder / "positions.svg", {"loss": points}, "Loss by position", "position, tokens", "nats per token")
