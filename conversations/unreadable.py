"""Records that could not be read: how a command tells of them, and how many are too many."""

import sys
from collections.abc import Sequence
from pathlib import Path

UNREADABLE = "unreadable record"
MOST_UNREADABLE = 0.5  # share of the records; above it the exit status is 1
MANY_UNREADABLE = 0.1  # above it there is a warning
SHOWN_FAULTS = 5  # unreadable records named on the terminal; the ledger file has all


def tell_faults(faults: Sequence[str], ledger: Path | None) -> None:
    """Name the first records that could not be read; `ledger` is the file that has all, if there is one."""
    for fault in faults[:SHOWN_FAULTS]:
        print(f"dropped: {fault}", file=sys.stderr)
    if len(faults) > SHOWN_FAULTS:
        where = f", all named in {ledger}" if ledger else ""
        print(f"and {len(faults) - SHOWN_FAULTS} more{where}", file=sys.stderr)


def judge_unreadable(unreadable: int, read: int, most: float) -> int:
    """Say so if many records could not be read; the exit status is 1 if they are too many.

    Args:
        unreadable: how many could not.
        read: how many there were; at least 1.
        most: the largest share that is still well.
    """
    share = unreadable / read
    told = f"{unreadable} of {read} records could not be read ({share:.1%})"
    if share > most:
        print(f"camelid: {told}, a larger share than --max-unreadable {most:g}", file=sys.stderr)
        return 1
    if share > MANY_UNREADABLE:
        print(f"camelid: warning: {told}", file=sys.stderr)
    return 0
