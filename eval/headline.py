"""The finding of a report in one sentence, no stronger than the numbers."""

from eval.results import Results


def headline(results: Results) -> str:
    """One sentence for the top of every page and the terminal."""
    raise NotImplementedError(results.title)
