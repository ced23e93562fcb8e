"""How likely a page is to a model of good text, and the bucket that makes it: CCNet's head, middle and tail.

The model is an n-gram model of KenLM over SentencePiece's pieces, both the user's (Wenzek et al. 2020, 3.3); `kenlm`
has no wheel on the package index: the extra `perplexity` compiles it.
"""

import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import Any

from camelid.errors import UserError

BUCKETS = ("head", "middle", "tail")
ALL = "all"  # where no model is given


@dataclass(frozen=True)
class Perplexity:
    """What is asked.

    Attributes:
        lm: KenLM's file (`.arpa`, `.bin`).
        spm: SentencePiece's model.
        cutoffs: perplexities up to which a page is `head`, and `middle`. CCNet takes the 30th and 60th of a hundred
            parts of its pages, per language.
    """

    lm: str
    spm: str
    cutoffs: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.cutoffs) != 2 or self.cutoffs[0] > self.cutoffs[1]:
            raise UserError(f"cutoffs: expected two perplexities, the smaller first, found {list(self.cutoffs)}")

    def measure(self, text: str) -> float:
        """Perplexity a piece, with the end of each line counted, as cc_net's `pp`."""
        model, pieces = _open(self.lm, self.spm)
        score, length = 0.0, 0
        for line in text.split("\n"):
            split = pieces.encode(_normalise(line), out_type=str)
            score += model.score(" ".join(split))
            length += len(split) + 1
        return float(10.0 ** min(-score / length, 300.0))

    def bucket(self, perplexity: float) -> str:
        head, middle = self.cutoffs
        return BUCKETS[0] if perplexity < head else BUCKETS[1] if perplexity < middle else BUCKETS[2]


def _normalise(line: str) -> str:
    """Small letters, digits as 0, no accents: what CCNet's models were trained on (cc_net/text_normalizer.py)."""
    plain = unicodedata.normalize("NFD", line.strip().lower())
    return "".join("0" if one.isdigit() else one for one in plain if unicodedata.category(one) != "Mn")


@cache
def _open(lm: str, spm: str) -> tuple[Any, Any]:
    try:
        import kenlm
        import sentencepiece
    except ImportError as error:
        raise UserError(f"perplexity needs KenLM ({error}); pip install 'camelid[perplexity]'") from None
    try:
        return kenlm.Model(lm), sentencepiece.SentencePieceProcessor(model_file=spm)
    except (OSError, RuntimeError) as error:
        raise UserError(f"{lm}, {spm}: cannot be opened: {' '.join(str(error).split())[:200]}") from None
