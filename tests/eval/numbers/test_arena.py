"""The leaderboard of votes."""

import json
import math
from pathlib import Path

import pytest

from camelid.app.rate_votes import rate_votes
from camelid.errors import UserError
from eval.numbers.arena import arena_board


def vote(folder: Path, first: str, second: str, verdict: str, count: int = 1) -> None:
    """Votes as the chat page's server writes them: A is the answer shown first."""
    path = folder / "judgments" / "pairwise" / "human.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    scores = {"A": [1.0, 0.0], "B": [0.0, 1.0], "C": [0.5, 0.5]}[verdict]
    with path.open("a") as file:
        for number in range(count):
            question = f"pair-{first}-{second}-{verdict}-{number}"
            record = {"mode": "pairwise", "question": question, "turn": 1, "models": [first, second], "judge": "human"}
            more = {"scores": scores, "text": f"[[{verdict}]]", "failure": None, "repeat": 0, "logprobs": {}}
            file.write(json.dumps({**record, **more, "tokens": [0, 0], "answered_by": "", "baseline": None}) + "\n")


def test_ratings_ranks_and_counts(tmp_path: Path) -> None:
    vote(tmp_path, "good", "fair", "A", 300)
    vote(tmp_path, "fair", "good", "A", 100)
    vote(tmp_path, "fair", "poor", "A", 150)
    vote(tmp_path, "poor", "fair", "A", 50)
    vote(tmp_path, "twin", "fair", "C", 40)
    board = arena_board(tmp_path)
    rows = {row.model: row for row in board.rows}
    assert board.votes == 640 and board.connected
    ratings = {name: row.rating.mean for name, row in rows.items() if row.rating}
    # Of two models that win 3 to 1, one is 400 log10(3) points above the other (Bradley and Terry 1952).
    assert ratings["good"] - ratings["fair"] == pytest.approx(400 * math.log10(3), abs=3)
    assert ratings["fair"] - ratings["poor"] == pytest.approx(400 * math.log10(3), abs=5)
    assert ratings["twin"] == pytest.approx(ratings["fair"], abs=2)
    assert sum(ratings.values()) / 4 == pytest.approx(1000)
    assert board.rows[0].model == "good" and board.rows[-1].model == "poor"
    assert {name: row.rank for name, row in rows.items()} == {"good": 1, "fair": 2, "twin": 2, "poor": 4}
    assert (rows["fair"].wins, rows["fair"].ties, rows["fair"].losses) == (250, 40, 350)


def test_models_that_never_met_have_no_ratings(tmp_path: Path) -> None:
    vote(tmp_path, "a", "b", "A", 3)
    vote(tmp_path, "c", "d", "B", 2)
    board = arena_board(tmp_path)
    assert not board.connected and board.votes == 5
    assert [(row.model, row.rank, row.rating, row.wins) for row in board.rows] == [
        ("a", None, None, 3), ("d", None, None, 2), ("b", None, None, 0), ("c", None, None, 0)
    ]  # fmt: skip


def test_no_votes_one_vote_and_a_broken_file(tmp_path: Path) -> None:
    assert rate_votes(tmp_path) == {"votes": 0, "connected": True, "rows": []}
    vote(tmp_path, "a", "b", "A")
    first = rate_votes(tmp_path)["rows"][0]
    assert first["model"] == "a" and first["rank"] == 1 and first["rating"]["low"] is None
    with (tmp_path / "judgments" / "pairwise" / "human.jsonl").open("a") as file:
        file.write("{broken\n")
    with pytest.raises(UserError, match=r"human\.jsonl:2"):
        rate_votes(tmp_path)
