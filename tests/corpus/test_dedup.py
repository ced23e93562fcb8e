"""Duplicates: lines, whole texts, near-duplicates and books, each against a plain oracle."""

import random
from pathlib import Path

import numpy as np
import pytest

from camelid.files.write import write_jsonl
from corpus.dedup.line_keys import ccnet_keys
from corpus.dedup.overlap import containment, estimate_containment, run_hashes, sketch_of
from corpus.dedup.repeats import repeated_keys
from corpus.dedup.way import PartFiles
from tests.corpus.conftest import CorpusCommand, ledger, numbered, texts, tree


def write_parts(folder: Path, *parts: list[str]) -> Path:
    for number, part in enumerate(parts):
        write_jsonl(folder / f"{number}.jsonl", ({"text": text, "source": "x", "meta": {}} for text in part))
    return folder


def test_lines_are_the_same_by_ccnets_rule(tmp_path: Path, corpus: CorpusCommand) -> None:
    source = write_parts(
        tmp_path / "in",
        ["Call 555-1234 now\nonly here\n\nsame", "  CALL 999-0000 now \nonly there\n\n\u201csame\u201d"],
        ["call 555-1234 now", "one more\nand one more\nand one more"],
    )
    corpus("dedup", source, "--by", "line", "--quiet")
    out = tmp_path / "in-unique"
    assert texts(out) == ["Call 555-1234 now\nonly here\n\nsame", "only there", "one more\nand one more"]
    assert ledger(out).dropped == {"nothing but lines seen before": 1}
    assert ledger(out, "lines").dropped == {"line seen before": 4, "empty line seen before": 1}
    assert ledger(out, "lines").read == 12

    corpus("dedup", source, "--by", "line", "--copies", "none", "--output", tmp_path / "none", "--quiet")
    assert texts(tmp_path / "none") == ["only here", "only there", "one more\nand one more"]


@pytest.mark.parametrize("keep", ["first", "none"])
def test_repeated_keys_against_plain_sets(keep: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In shares of 64 keys, as of one line that is in every part once: cc_net's sharded pass misses it."""
    monkeypatch.setattr("corpus.dedup.repeats._SHARE", 64)
    rng = random.Random(0)
    parts, documents = [], []
    for number in range(5):
        part = [[rng.randrange(60) for _ in range(rng.randrange(9))] + [1000] for _ in range(20)]
        documents += part
        parts.append(PartFiles(tmp_path, tmp_path / f"{number}.npz", tmp_path))
        keys = np.array([key for document in part for key in document], dtype=np.uint64)
        np.savez(parts[-1].sketch, keys=keys, lengths=np.array([len(document) for document in part]))
    holders = {key: sum(key in document for document in documents) for document in documents for key in document}
    seen: set[int] = set()
    wanted = []
    for document in documents:
        own: set[int] = set()
        for key in document:
            wanted.append(key in own or (key in seen if keep == "first" else holders[key] > 1))
            own.add(key)
            seen.add(key)
    assert np.concatenate(list(repeated_keys(parts, keep))).tolist() == wanted  # type: ignore[arg-type]


def test_texts_to_the_letter(tmp_path: Path, corpus: CorpusCommand) -> None:
    source = write_parts(tmp_path / "in", ["a b", "A b", "a b\n"], ["a b", "c"])
    corpus("dedup", source, "--by", "exact", "--quiet")
    assert texts(tmp_path / "in-unique") == ["a b", "A b", "c"]
    assert ledger(tmp_path / "in-unique").dropped == {"same text as one before": 2}


def test_near_duplicates(tmp_path: Path, corpus: CorpusCommand) -> None:
    """Jaccard: with one word in 400 replaced 0.975, with one in 8 about 0.35."""
    [first, second] = numbered(2, 400)
    words = first.split()
    near = " ".join([*words[:200], "other", *words[201:]])
    far = " ".join("other" if at % 8 == 0 else word for at, word in enumerate(words))
    source = write_parts(tmp_path / "in", [first, second], [near, far])
    corpus("dedup", source, "--by", "document", "--quiet")
    assert texts(tmp_path / "in-unique") == [first, second, far]
    assert ledger(tmp_path / "in-unique").dropped == {"near-duplicate of one before": 1}


def replaced(words: list[str], share: float, seed: int) -> list[str]:
    """The words with a share of them, in stretches, made others."""
    rng = random.Random(seed)
    result, stretch = list(words), 80
    for start in rng.sample(range(0, len(words) - stretch, stretch), round(share * len(words) / stretch)):
        result[start : start + stretch] = [f"r{rng.randrange(10**9)}" for _ in range(stretch)]
    return result


# Nine variants of a book of 8,000 words: whether more than 90% of it is in the book.
BOOK = next(numbered(1, 8000)).split()
VARIANTS = {
    "the same": (BOOK, True),
    "another header and licence": (
        [*next(numbered(1, 200, 1)).split(), *BOOK, *next(numbered(1, 1500, 2)).split()],
        None,
    ),
    "half of it": (BOOK[:4000], True),
    "3% replaced": (replaced(BOOK, 0.03, 3), True),
    "8% replaced": (replaced(BOOK, 0.08, 4), True),
    "12% replaced": (replaced(BOOK, 0.12, 5), False),
    "20% replaced": (replaced(BOOK, 0.20, 6), False),
    "30% replaced": (replaced(BOOK, 0.30, 7), False),
    "another book": (next(numbered(1, 8000, 8)).split(), False),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_books(variant: str, tmp_path: Path, corpus: CorpusCommand) -> None:
    """With a longer header the variant contains the book, which goes then."""
    words, goes = VARIANTS[variant]
    source = write_parts(tmp_path / "in", [" ".join(BOOK)], ["unrelated words of a tale", " ".join(words)])
    corpus("dedup", source, "--by", "book", "--over", "0.9", "--quiet")
    left = {True: [" ".join(BOOK)], False: [" ".join(BOOK), " ".join(words)], None: [" ".join(words)]}[goes]
    assert sorted(texts(tmp_path / "in-unique")) == sorted([*left, "unrelated words of a tale"])
    assert ledger(tmp_path / "in-unique").dropped == ({} if goes is False else {"more than 90% of it in another": 1})


def test_sketches_estimate_containment() -> None:
    """Near the truth (four standard errors of 300 hashes), also in a book several times as long."""
    library = next(numbered(1, 120_000, 9)).split()
    for outer in (library[30_000:70_000], library):
        whole = run_hashes(" ".join(outer))
        for share in (0.5, 0.9):
            inner = run_hashes(" ".join(replaced(library[40_000:60_000], 1 - share, 10)))
            assert len(sketch_of(whole)) < len(whole) / 8
            assert estimate_containment(sketch_of(inner), sketch_of(whole)) == pytest.approx(
                containment(inner, whole), abs=0.08
            )


def test_containment_is_that_of_sets_of_runs() -> None:
    def runs(text: str) -> set[tuple[str, ...]]:
        words = text.split()
        return {tuple(words[at : at + 5]) for at in range(len(words) - 4)}

    one = " ".join(random.Random(0).choices("abcd", k=600))
    two = " ".join(random.Random(1).choices("abcd", k=900))
    assert len(run_hashes(one)) == len(runs(one))
    assert containment(run_hashes(one), run_hashes(two)) == len(runs(one) & runs(two)) / len(runs(one))


def test_tasks_do_not_change_what_stays(tmp_path: Path, corpus: CorpusCommand) -> None:
    parts = [[*numbered(4, 60, seed), "the same line"] for seed in (0, 1, 0, 2, 1)]
    source = write_parts(tmp_path / "in", *parts)
    for by in ("line", "document", "book"):
        for tasks in (1, 3):
            corpus("dedup", source, "--by", by, "--output", tmp_path / f"{by}{tasks}", "--tasks", tasks, "--quiet")
        assert tree(tmp_path / f"{by}1") == tree(tmp_path / f"{by}3") != {}
        assert ledger(tmp_path / f"{by}1").dropped.total() == 2 * 4 + 4


@pytest.mark.parametrize(
    ("line", "same"),
    [
        ("Call 12", "call 99"),
        ("\u00c9TE\u2026", "\u00e9te"),
        ("\uff11\uff12\u3002", "00"),
        (" a\tb\x07", "ab"),
        ("\u0130x", "i\u0307x"),
    ],
)
def test_keys(line: str, same: str) -> None:
    assert ccnet_keys(line) == ccnet_keys(same) and ccnet_keys(line) != ccnet_keys(f"{line}!")
