"""A line of metrics: what every run has, and what its objective alone knows."""

import math
from typing import Any

import pytest

from finetune.objectives.next_token import NextToken
from tests.finetune.runs import metrics, run


def test_an_objectives_own_facts_are_in_the_metrics(
    toy_recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """JSON has no NaN, so a fact that is none is null."""

    def facts(self: NextToken, total: Any) -> dict[str, float]:
        return {"share_right": 0.25, "lost": math.nan}

    assert NextToken().facts(lambda value: value) == {}
    monkeypatch.setattr(NextToken, "facts", facts)
    assert run(toy_recipe) == 0
    assert all(record["share_right"] == 0.25 and record["lost"] is None for record in metrics(toy_recipe))
    assert {"loss", "grad_norm", "tokens"} < metrics(toy_recipe)[0].keys()
