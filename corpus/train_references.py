"""`corpus references train`: good and random texts to a classifier, and how well it tells apart what it did not see."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from camelid.errors import UserError
from camelid.files.paths import refuse_overwriting
from corpus.record import read_texts
from corpus.references import ReferenceClassifier, area_under_curve, train_classifier, unique_texts

_HELD_OUT = 10  # one text in so many is not trained on


def train_references(good: Sequence[str], random: Sequence[str], output: Path) -> str:
    """Train on nine texts in ten, write the classifier, and return a line that says how good it is.

    Texts that are there more than once count once; one that is of both kinds counts as random.

    Raises:
        UserError: there are too few.
    """
    refuse_overwriting(output, [*good, *random])
    others = list(unique_texts(_texts(random)))
    both = set(others)
    wanted = [text for text in unique_texts(_texts(good)) if text not in both]
    if min(len(wanted), len(others)) < 2:
        raise UserError(
            f"references train: needs two texts of each kind, found {len(wanted)} good, {len(others)} random"
        )
    held = [min(_HELD_OUT, len(texts)) for texts in (wanted, others)]
    classifier = train_classifier(_without(wanted, held[0]), _without(others, held[1]))
    classifier.save(output)
    scores = [_scores(classifier, texts[::step]) for texts, step in zip((wanted, others), held, strict=True)]
    area = area_under_curve(*scores)
    return (
        f"{output}: trained on {len(wanted) + len(others) - sum(map(len, scores))} texts "
        f"({len(wanted)} good, {len(others)} random, each once); AUC {area:.3f} on {sum(map(len, scores))} others"
    )


def _texts(paths: Sequence[str]) -> list[str]:
    return [record.text for path in paths for _, record in read_texts(path)]


def _without(texts: Sequence[str], step: int) -> list[str]:
    return [text for at, text in enumerate(texts) if at % step]


def _scores(classifier: ReferenceClassifier, texts: Sequence[str]) -> "np.typing.NDArray[np.float64]":
    return np.array([classifier.score(text) for text in texts])
