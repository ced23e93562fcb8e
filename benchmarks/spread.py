"""How far the repetitions of a benchmark lie apart."""


def spread(ratios: list[float]) -> list[float]:
    """The lowest and the highest ratio, for the `spread` of a result."""
    return [round(min(ratios), 3), round(max(ratios), 3)]
