"""Verdicts in AlpacaEval's form are read right or not at all."""

import pytest

from eval.judging.modes.alpaca import parse_preference


@pytest.mark.parametrize(
    ("text", "logprobs", "second"),
    [
        ("m", {"m": -0.1, "M": -2.4}, 0.0911),  # exp(-2.4) / (exp(-2.4) + exp(-0.1))
        ("M", {"M": -0.001}, 1.0),
        ("m", {"m": -800.0, "M": -800.0}, 0.5),
        ("M", {}, 1.0),
        ("'m'", {}, 0.0),
        ("m or M", {}, None),
        ("Model M", {}, None),
        ("[{'model': 'model_1', 'rank': 1}, {'model': 'model_2', 'rank': 2}]", {}, 0.0),
        ('[{"model": "model_2", "rank": 1}, {"model": "model_1", "rank": 2}]', {}, 1.0),
        ("[{'model': 'model_1', 'rank': 1}, {'model': 'model_2', 'rank': 1}]", {}, 0.5),
        ("[{'model': 'model_1', 'rank': 1}, {'model': 'model_3', 'rank': 2}]", {}, None),
        ("[{'model': 'model_1', 'rank': 1}, {'model': 'model_2', 'rank': 3}]", {}, None),
        ("[{'model': __import__('os'), 'rank': 1}, {'model': 'model_2', 'rank': 2}]", {}, None),
        ("", {}, None),
    ],
)
def test_preferences(text: str, logprobs: dict[str, float], second: float | None) -> None:
    found = parse_preference(text, logprobs)
    if second is None:
        assert found is None
    else:
        assert found == pytest.approx((1 - second, second), abs=1e-4)
