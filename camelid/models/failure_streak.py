"""Notices that requests fail one after the other, so that no run pays for what cannot succeed."""

from camelid.models.llm import FATAL, Failure, Reply

PATIENCE = 10  # requests in a row that fail for one reason
LONGEST_PATIENCE = 50  # the same for what lies in the requests, where others had replies: alike ones stand together
IN_THE_REQUEST = frozenset({"bad_request", "content_filter", "refusal", "cut_off"})
MIXED_PATIENCE = 3 * PATIENCE  # requests in a row that fail for whatever reasons


class FailureStreak:
    """Counts failures since the last reply.

    Args:
        replies: how many there have been before.
    """

    def __init__(self, replies: int = 0) -> None:
        self._replies = replies
        self._failures: list[Failure] = []

    def add(self, result: Reply | Failure) -> None:
        """Take in what a request came to; a failure that was not sent says nothing."""
        if isinstance(result, Reply):
            self._replies += 1
            self._failures.clear()
        elif result.attempts and result.kind not in FATAL:
            self._failures.append(result)

    @property
    def hopeless(self) -> Failure | None:
        """Why the next request would fail, too; None while there is hope."""
        if not self._failures:
            return None
        last = self._failures[-1]
        patience = PATIENCE
        if last.kind in IN_THE_REQUEST:
            patience = min(LONGEST_PATIENCE, max(PATIENCE, self._replies))
        kinds = {failure.kind for failure in self._failures[-patience:]}
        alike = len(self._failures) >= patience and kinds == {last.kind}
        if not alike and len(self._failures) < max(patience, MIXED_PATIENCE):
            return None
        said = f"{len(self._failures)} requests in a row failed, the last one with {last.kind}: {last.detail}"
        return Failure("no_progress", said, attempts=0)
