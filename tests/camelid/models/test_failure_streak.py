"""How many requests in a row may fail before the next is not sent."""

import pytest

from camelid.models.failure_streak import FailureStreak
from camelid.models.llm import Failure, FailureKind, Reply


def sent_before_it_ends(streak: FailureStreak, kinds: tuple[FailureKind, ...]) -> int:
    for count in range(1000):
        if streak.hopeless:
            assert streak.hopeless.kind == "no_progress" and "said so" in streak.hopeless.detail
            return count
        streak.add(Failure(kinds[count % len(kinds)], "said so"))
    return 1000


@pytest.mark.parametrize(
    ("replies", "kinds", "expected"),
    [
        (0, ("server",), 10),
        (500, ("server",), 10),
        (0, ("refusal",), 10),
        (30, ("refusal",), 30),  # questions of one kind stand together in a file
        (500, ("refusal",), 50),
        (0, ("server", "malformed"), 30),
    ],
)
def test_patience(replies: int, kinds: tuple[FailureKind, ...], expected: int) -> None:
    assert sent_before_it_ends(FailureStreak(replies), kinds) == expected


def test_a_reply_gives_new_hope_and_what_was_not_sent_takes_none() -> None:
    streak = FailureStreak()
    for _ in range(9):
        streak.add(Failure("server", "x"))
    streak.add(Reply("yes", "m"))
    for _ in range(20):
        streak.add(Failure("server", "x", attempts=0))
        streak.add(Failure("budget", "x"))
    assert streak.hopeless is None and sent_before_it_ends(streak, ("server",)) == 10
