"""The leaderboard that the server shows: rooms know nothing of each other, so it is handed over here."""

from pathlib import Path
from typing import Any


def rate_votes(folder: Path) -> dict[str, Any]:
    """A folder of votes as ratings: see `eval.numbers.arena.ArenaBoard`.

    Raises:
        UserError: the file of votes is broken.
    """
    from camelid.config import to_tree
    from eval.numbers.arena import arena_board

    return to_tree(arena_board(folder))
