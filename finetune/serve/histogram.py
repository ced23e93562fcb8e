"""How long things took, counted in buckets."""

from bisect import bisect_left

# Upper ends in seconds, 1, 2.5 and 5 in each power of ten: from a small model's token to a request's time-out.
ENDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0)


class Histogram:
    """Durations; one thread adds to it, any may read it.

    Attributes:
        count, total: how many, and their sum in seconds.
    """

    def __init__(self) -> None:
        self._counts = [0] * (len(ENDS) + 1)
        self.count, self.total = 0, 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect_left(ENDS, seconds)] += 1
        self.count += 1
        self.total += seconds

    def cumulative(self) -> list[tuple[str, int]]:
        """How many took at most so long, by the end of the bucket as Prometheus writes it; the last one is `+Inf`."""
        found, so_far = list[tuple[str, int]](), 0
        for end, count in zip((*map(repr, ENDS), "+Inf"), list(self._counts), strict=True):
            so_far += count
            found.append((end, so_far))
        return found
