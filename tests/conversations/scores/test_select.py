"""What is chosen: by bounds, the best of what is left, and unlike one another, against a plain loop."""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from camelid.app.cli import main
from camelid.files.read import read_json, read_jsonl
from conversations.scores.select import Choice, ScoreBound, choose
from conversations.scores.unlike import keep_unlike, unit_length
from tests.conversations.chats import chat


@pytest.fixture
def scored(tmp_path: Path) -> Path:
    """100 conversations with a quality; a tenth have none."""
    rng = Random(0)
    path = tmp_path / "scored.jsonl"
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    with path.open("w") as file:
        for number in range(100):
            scores = {"repetition": rng.choice([0.0, 0.1, 0.5])}
            if number % 10:
                scores["quality"] = rng.randint(1, 60) / 10
            file.write(json.dumps({"id": str(number), "messages": turns, "meta": {"scores": scores}}) + "\n")
    return path


def run(path: Path, output: Path, *options: str) -> list[dict[str, Any]]:
    command = ["conversations", "score", str(path), "--output", str(output), "--quiet", "--scores", *options]
    assert main(command) == 0
    return [record for _, record in read_jsonl(output)]


def test_bounds_and_the_best_of_what_is_left(scored: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    options = ["--min-score", "quality=2", "--max-score", "repetition=0.1", "--top", "20", "--by", "quality"]
    kept = run(scored, output, *options)
    everything = [record for _, record in read_jsonl(scored)]
    fit = [
        one
        for one in everything
        if one["meta"]["scores"].get("quality", 0) >= 2 and one["meta"]["scores"]["repetition"] <= 0.1
    ]
    best = sorted(fit, key=lambda one: -one["meta"]["scores"]["quality"])[:20]
    assert sorted(one["id"] for one in best) == sorted(one["id"] for one in kept)
    assert kept == [one for one in everything if one in best]  # the files' order, nothing changed
    [ledger] = read_json(tmp_path / "out.ledger.json")["ledgers"]
    assert ledger["read"] == 100 and ledger["kept"] == 20
    assert ledger["dropped"]["no score quality"] == 10
    assert ledger["dropped"]["not among the top 20 by quality"] == len(fit) - 20


def test_a_share_and_scores_of_which_low_ones_are_good(scored: Path, tmp_path: Path) -> None:
    kept = run(scored, tmp_path / "out.jsonl", "--top", "0.25", "--by", "repetition")
    values = sorted(record["meta"]["scores"]["repetition"] for _, record in read_jsonl(scored))
    assert sorted(one["meta"]["scores"]["repetition"] for one in kept) == values[:25]


def test_a_random_choice_of_the_same_size_depends_on_the_seed(scored: Path, tmp_path: Path) -> None:
    chosen = []
    for name, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        output = tmp_path / f"{name}.jsonl"
        chosen.append(
            [one["id"] for one in run(scored, output, "random", "--top", "30", "--by", "random", "--seed", seed)]
        )
    assert chosen[0] == chosen[1] != chosen[2] and len(chosen[0]) == len(chosen[2]) == 30


def test_the_filter_for_diversity_is_the_papers() -> None:
    """One after the other, best first: taken unless the cosine to one that was taken is above the threshold."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, 16))
    vectors = (centres[rng.integers(0, 40, 900)] + 0.12 * rng.normal(size=(900, 16))).astype(np.float32)
    scores = rng.random(900)
    order = np.argsort(-scores, kind="stable").tolist()
    for limit in (900, 25, 1):
        taken: list[int] = []
        for place in order:
            cosines = [
                float(vectors[place] @ vectors[one] / np.linalg.norm(vectors[place]) / np.linalg.norm(vectors[one]))
                for one in taken
            ]
            if len(taken) < limit and max(cosines, default=-1) <= 0.9:
                taken.append(place)
        assert keep_unlike(unit_length(vectors), order, limit) == taken
    assert 30 < len(keep_unlike(unit_length(vectors), order, 900)) < 700


def test_what_is_too_like_a_better_one_is_counted() -> None:
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 1, 2, 2, 3]]
    columns: Any = {"quality": [1.0, 5.0, 4.0, 3.0, 2.0, 0.5]}
    choice = Choice([ScoreBound("quality", least=1.0)], "quality", 2)
    stays, dropped = choose(choice, columns, 6, lambda order, limit: keep_unlike(vectors, order, limit))
    assert stays == [1, 2] and dropped == {"quality below 1": 1, "not among the top 2 by quality": 3}
    stays, dropped = choose(Choice((), "quality", 0.05), columns, 6)
    assert stays == [] and dropped == {"not among the top 0.05 by quality": 6}
    stays, dropped = choose(Choice((), "quality"), columns, 6, lambda order, limit: keep_unlike(vectors, order, limit))
    assert stays == [1, 2, 3, 5] and dropped == {"too like a better one": 2}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--scores", "qualty"], "--scores: 'qualty' is unknown; did you mean 'quality'?"),
        (["--scores", "ifd"], "--scores ifd and --loss-model DIR go together"),
        (["--scores", "--min-score", "quality"], "--min-score 'quality' must look like NAME=X"),
        (["--scores", "--min-score", "quality=2"], "no conversation has it in meta.scores"),
        (["--top", "3"], "--top and --unlike need --by NAME"),
        (["--by", "length"], "--by: goes with --top N or --unlike"),
        (["--top", "0", "--by", "length"], "--top 0: must be a whole number from 1, or a share"),
        (["--top", "2.5", "--by", "length"], "--top 2.5: must be a whole number from 1, or a share"),
        (["--unlike", "--by", "length"], "--unlike and --embedder MODEL go together"),
        (["--scores", "ifd", "--loss-model", "nowhere"], "--loss-model nowhere: no model folder"),
    ],
)
def test_mistakes_are_named(
    data: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    output = tmp_path / "out.jsonl"
    assert main(["conversations", "score", data(chat("a", "Hi", "no")), "--output", str(output), *options]) == 2
    assert message in capsys.readouterr().err and not output.exists()


def test_the_input_is_never_written_over(data: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    path = data(chat("a", "Hi", "no"))
    assert main(["conversations", "score", path, "--output", path]) == 2
    assert "is an input, too" in capsys.readouterr().err
