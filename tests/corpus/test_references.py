"""The classifier, against scikit-learn on the same features; what it tells apart; the command."""

import random
from pathlib import Path

import numpy as np
import pytest

from camelid.app.cli import main
from camelid.files.write import write_jsonl
from corpus.references import BITS, area_under_curve, feature_matrix, train_classifier
from tests.corpus.conftest import CorpusCommand, ledger, texts

GOOD, BAD = (
    "sea moon tide wave shore sand wind boat sail harbour",
    "buy now cheap click here free offer best price deal",
)


def pages(words: str, count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    common = "the of and to in a is that it was"
    return ["\n".join(" ".join(rng.choices(f"{words} {common}".split(), k=12)) for _ in range(4)) for _ in range(count)]


def test_it_is_the_logistic_regression_of_scikit_learn() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is not installed")
    good, bad = pages(GOOD, 20, 0), pages(f"{BAD} sea moon", 25, 1)
    ours = train_classifier(good, bad, strength=10.0)
    matrix = feature_matrix([*good, *bad])
    theirs = linear_model.LogisticRegression(C=10.0, tol=1e-10, max_iter=10_000, solver="newton-cholesky")
    used = np.flatnonzero(matrix.getnnz(axis=0))
    theirs.fit(matrix[:, used].toarray(), [1] * len(good) + [0] * len(bad))
    assert ours.weights.shape == (1 << BITS,) and np.flatnonzero(ours.weights).tolist() == used.tolist()
    np.testing.assert_allclose(ours.weights[used], theirs.coef_[0], atol=1e-6)
    assert ours.bias == pytest.approx(theirs.intercept_[0], abs=1e-6)
    scores = [ours.score(text) for text in (*good, *bad)]
    np.testing.assert_allclose(scores, theirs.predict_proba(matrix[:, used].toarray())[:, 1], atol=1e-6)


def test_area_under_the_curve_is_that_of_pairs() -> None:
    rng = np.random.default_rng(0)
    good, bad = rng.integers(0, 9, 40) / 8.0, rng.integers(0, 7, 50) / 8.0
    pairs = [(a > b) + 0.5 * (a == b) for a in good for b in bad]
    assert area_under_curve(good, bad) == pytest.approx(np.mean(pairs))


def test_train_then_read_with_it(tmp_path: Path, corpus: CorpusCommand) -> None:
    for name, words in (("good", GOOD), ("random", BAD)):
        found = pages(words, 50, 2)
        write_jsonl(tmp_path / f"{name}.jsonl", ({"text": text} for text in [*found, *found[:5]]))
    files = ("--good", tmp_path / "good.jsonl", "--random", tmp_path / "random.jsonl")
    status, out, _ = corpus("references", "train", *files, "--output", tmp_path / "refs.npz")
    assert status == 0 and "trained on 90 texts (50 good, 50 random, each once); AUC 1.000 on 10 others" in out
    fresh = [*pages(GOOD, 3, 9), *pages(BAD, 4, 9)]
    write_jsonl(tmp_path / "fresh.jsonl", ({"text": text} for text in fresh))
    rule = f"references={tmp_path / 'refs.npz'}"
    corpus("read", "text", tmp_path / "fresh.jsonl", "--output", tmp_path / "out", "--keep", rule, "--quiet")
    assert texts(tmp_path / "out") == fresh[:3]
    assert ledger(tmp_path / "out").dropped == {"unlike references: below 0.25": 4}


def test_another_file_is_no_classifier(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.npz").write_bytes(b"x")
    (tmp_path / "x.txt").write_text("text")
    command = ["corpus", "read", "text", str(tmp_path / "x.txt"), "--output", str(tmp_path / "out"), "--quiet"]
    assert main([*command, "--keep", f"references={tmp_path / 'x.npz'}"]) == 2
    assert "x.npz: no classifier that `camelid corpus references train` wrote" in capsys.readouterr().err


@pytest.mark.slow
def test_articles_against_their_shuffled_lines(gensim_wikis: Path, tmp_path: Path, corpus: CorpusCommand) -> None:
    corpus("read", "wikipedia", *sorted(gensim_wikis.glob("enwiki*")), "--output", tmp_path / "wiki", "--quiet")
    articles = texts(tmp_path / "wiki")
    rng = random.Random(0)
    shuffled = ["\n".join(rng.sample(lines := text.split("\n"), len(lines))) for text in articles]
    classifier = train_classifier(articles[::2], shuffled[::2])
    scores = [np.array([classifier.score(text) for text in side[1::2]]) for side in (articles, shuffled)]
    assert area_under_curve(scores[0], scores[1]) >= 0.95
