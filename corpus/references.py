"""A linear classifier: pages that Wikipedia's articles refer to against random ones, as LLaMA filtered Common Crawl.

"We trained a linear model to classify pages used as references in Wikipedia v.s. randomly sampled pages" (Touvron et
al. 2023, 2.1). Its features are hashed: words and pairs of them, and shapes of lines, in which pages
differ, too.
"""

import io
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from camelid.errors import UserError
from camelid.files.paths import find_packaged, missing_file_error
from camelid.files.write import write_bytes
from camelid.text.words import unicode_tokens

BITS = 18  # 262,144 features
_READ = 20_000  # characters of a page that are looked at
_BREAK = "\n"
_EMPTY, _ENDS = "empty", (".", "?", "!", '"', ":")  # shapes of lines
_FACTORS = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))  # SplitMix64's
_FORMAT = 1

FloatArray = npt.NDArray[np.float64]
HashArray = npt.NDArray[np.uint64]


def features(text: str) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """The columns of a text and their values.

    They are words, pairs of words, shapes of lines, and two or three of these in a row, each with 1 + log of how often
    it occurs. Those of words have length 1 together, and so have those of shapes, which would be lost among them.
    """
    lines = text[:_READ].split("\n")
    words = [_BREAK] + [word for line in lines for word in (*unicode_tokens(line), _BREAK)]
    shapes = ["begin", *map(_shape, lines), "end"]
    filled = [shape for shape in shapes if shape != _EMPTY]
    threes = [" ".join(run) for run in zip(filled, filled[1:], filled[2:], strict=False)]
    layout = np.concatenate(
        [_hashes("line", shapes), _hashes("filled", filled), _hashes("threes", threes, pairs=False)]
    )
    blocks = [_counted(_hashes("word", words)), _counted(layout)]
    return np.concatenate([columns for columns, _ in blocks]), np.concatenate([values for _, values in blocks])


def _counted(hashes: HashArray) -> tuple[npt.NDArray[np.int64], FloatArray]:
    columns, counts = np.unique(hashes >> np.uint64(64 - BITS), return_counts=True)
    values = 1.0 + np.log(counts)
    return columns.astype(np.int64), values / np.linalg.norm(values)


def _shape(line: str) -> str:
    """How long a line is, in powers of two of its words, and whether a sentence ends at its end."""
    count = len(line.split())
    if not count:
        return _EMPTY
    return f"{min(count.bit_length(), 6)}{'.' if line.rstrip().endswith(_ENDS) else ''}"


def _hashes(kind: str, tokens: list[str], pairs: bool = True) -> HashArray:
    """HashArray of the tokens and, with `pairs`, of each two in a row; equal tokens of another kind have others."""
    seed = zlib.crc32(kind.encode())
    hashed = np.array([zlib.crc32(token.encode(), seed) for token in tokens], dtype=np.uint64)
    ones = hashed * _FACTORS[2]
    return np.concatenate([ones, (hashed[:-1] * _FACTORS[0] + hashed[1:]) * _FACTORS[1]]) if pairs else ones


def feature_matrix(texts: Iterable[str]) -> Any:
    """The features of texts as a sparse matrix (texts, 2**BITS)."""
    from scipy.sparse import csr_matrix

    rows = [features(text) for text in texts]
    lengths = np.cumsum([0, *(len(columns) for columns, _ in rows)])
    columns = np.concatenate([columns for columns, _ in rows]) if rows else np.zeros(0, np.int64)
    values = np.concatenate([values for _, values in rows]) if rows else np.zeros(0)
    return csr_matrix((values, columns, lengths), shape=(len(rows), 1 << BITS))


@dataclass(frozen=True)
class ReferenceClassifier:
    """The classifier.

    Attributes:
        weights: one a feature, (2**BITS,).
        bias: added to their sum.
    """

    weights: FloatArray
    bias: float

    def score(self, text: str) -> float:
        """How likely a page is one of the good ones (0..1)."""
        columns, values = features(text)
        return float(_sigmoid(np.array([values @ self.weights[columns] + self.bias]))[0])

    def save(self, path: Path) -> None:
        """Write it as `.npz`."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, format=_FORMAT, weights=self.weights, bias=self.bias)
        write_bytes(path, buffer.getvalue())

    @staticmethod
    def load(path: str | Path) -> "ReferenceClassifier":
        """Raises: UserError: no such file, or another one."""
        path = find_packaged(path)
        if not path.is_file():
            raise missing_file_error(path)
        try:
            with np.load(path, allow_pickle=False) as file:
                if int(file["format"]) == _FORMAT and file["weights"].shape == (1 << BITS,):
                    return ReferenceClassifier(file["weights"], float(file["bias"]))
        except (ValueError, KeyError, OSError, zlib.error):
            pass
        raise UserError(f"{path}: no classifier that `camelid corpus references train` wrote")


def train_classifier(good: Sequence[str], random: Sequence[str], strength: float = 10.0) -> ReferenceClassifier:
    """Fit a logistic regression to its minimum: the loss times `strength`, plus half the weights' squared length.

    That is scikit-learn's `LogisticRegression(C=strength)`.

    Args:
        good: pages that shall score high.
        random: those that shall not.
        strength: the smaller, the smaller the weights.

    Raises:
        UserError: there are none of a kind.
    """
    if not good or not random:
        raise UserError("references train: needs pages of both kinds, good and random")
    matrix = feature_matrix([*good, *random])
    labels = np.repeat([1.0, 0.0], [len(good), len(random)])
    used = np.flatnonzero(matrix.getnnz(axis=0))  # the weights of all others stay 0
    found = _minimise(matrix[:, used], labels, strength)
    weights = np.zeros(1 << BITS)
    weights[used] = found[:-1]
    return ReferenceClassifier(weights, float(found[-1]))


def _minimise(matrix: Any, labels: FloatArray, strength: float) -> FloatArray:
    """Weights and bias, the last, by Newton's method with conjugate gradients: exact, unlike a number of steps."""
    from scipy.optimize import minimize

    def loss(point: FloatArray) -> tuple[float, FloatArray]:
        margins = matrix @ point[:-1] + point[-1]
        error = _sigmoid(margins) - labels
        value = strength * float(np.logaddexp(0.0, margins).sum() - margins @ labels) + 0.5 * float(
            point[:-1] @ point[:-1]
        )
        return value, np.append(strength * (matrix.T @ error) + point[:-1], strength * error.sum())

    def curvature(point: FloatArray, step: FloatArray) -> FloatArray:
        chance = _sigmoid(matrix @ point[:-1] + point[-1])
        change = chance * (1 - chance) * (matrix @ step[:-1] + step[-1])
        return np.append(strength * (matrix.T @ change) + step[:-1], strength * change.sum())

    start = np.zeros(matrix.shape[1] + 1)
    result = minimize(
        loss, start, jac=True, hessp=curvature, method="trust-ncg", options={"gtol": 1e-9, "maxiter": 500}
    )
    return np.asarray(result.x, dtype=np.float64)


def area_under_curve(good: FloatArray, random: FloatArray) -> float:
    """The chance that a good page scores above a random one; 0.5 tells nothing apart."""
    from scipy.stats import rankdata

    ranks = rankdata(np.concatenate([good, random]))
    return float((ranks[: len(good)].sum() - len(good) * (len(good) + 1) / 2) / (len(good) * len(random)))


def _sigmoid(margins: FloatArray) -> FloatArray:
    return np.exp(-np.logaddexp(0.0, -margins))


def unique_texts(texts: Iterable[str]) -> Iterator[str]:
    """Each text once: pages that are referred to a hundred times would be learnt a hundred times."""
    seen: set[bytes] = set()
    from hashlib import sha256

    for text in texts:
        key = sha256(text.encode(errors="surrogatepass")).digest()
        if key not in seen:
            seen.add(key)
            yield text
