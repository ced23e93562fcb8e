"""Notices that a run gets nowhere: replies come, and one reason takes all that is in them."""

from collections import Counter

from camelid.files.ledger import Ledger

NEARLY_ALL = 0.9  # of the drops, for one reason: a few fall to another that is looked for before it
CHANCE = 1e-6  # drops in a row that were as likely as this at the rate before are no sign of anything new


class Standstill:
    """Watches one ledger of a run.

    Args:
        ledger: what was kept and dropped of what the replies held.
        patience: replies that gave nothing, and drops in them, before the run is told to stop.
        set_aside: drops for this reason are no sign of anything.
    """

    def __init__(self, ledger: Ledger, patience: int, set_aside: str) -> None:
        self._ledger, self._patience, self._set_aside = ledger, patience, set_aside
        self._replies, self._kept, self._dropped = 0, 0, Counter[str]()

    def reason(self, replies: int) -> str | None:
        """Why nothing more can be expected, with an example; None while something is kept now and then.

        Args:
            replies: how many were bought so far. What an earlier run bought is not counted: it had its chance.
        """
        if self._ledger.kept != self._kept:
            self._replies, self._kept, self._dropped = replies, self._ledger.kept, Counter(self._ledger.dropped)
            return None
        drops = self._ledger.dropped - self._dropped
        del drops[self._set_aside]
        if min(replies - self._replies, drops.total()) < self._patience:
            return None
        reason, count = drops.most_common(1)[0]
        before = self._kept + self._dropped.total()
        share = self._dropped[reason] / before if before else 0.0
        if count < NEARLY_ALL * drops.total() or share**count > CHANCE:
            return None
        example = self._ledger.examples.get(reason)
        lately = f"{replies - self._replies} replies in a row gave nothing: '{reason}' took {count} of {drops.total()}"
        return f"{lately} {self._ledger.unit}" + (f", such as {example!r}" if example else "")
