"""Checkpoints that an earlier version wrote are of the same model still."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from camelid.errors import UserError
from finetune.engine.checkpoint import CheckpointPosition, require_model
from finetune.llama.config import LlamaConfig
from tests.finetune.llama.packed_documents import BASE
from tests.finetune.runs import run, variant

# What version 0.4 recorded of a model: no family, and sizes that follow from others left open.
OLD = {
    name: value
    for name, value in asdict(BASE).items()
    if name not in ("model_type", "sliding_window", "layer_types", "no_rope_layers")
}


def position(model: dict[str, object]) -> CheckpointPosition:
    return CheckpointPosition(3, 100, 0, None, 1, "none", model)


def test_a_model_recorded_before_families_is_known_again() -> None:
    config = LlamaConfig.from_json(BASE.to_json(), "config.json")
    require_model(position(OLD), Path("checkpoint"), config)
    with pytest.raises(UserError, match=r"another model \(rope_theta = 10000.0, model.path has 500000.0\)"):
        require_model(position(OLD), Path("checkpoint"), replace(config, rope_theta=500000.0))


def test_another_family_is_another_model() -> None:
    config = replace(BASE, model_type="mistral", sliding_window=8)
    require_model(position(asdict(config)), Path("checkpoint"), config)
    with pytest.raises(UserError, match="another model"):
        require_model(position(OLD), Path("checkpoint"), config)


@pytest.mark.slow
def test_one_process_saves_without_a_warning(toy_recipe: dict[str, Any], recwarn: pytest.WarningsRecorder) -> None:
    assert run(variant(toy_recipe, "run", optim__updates=2)) == 0
    assert not [str(one.message) for one in recwarn if "torch.distributed" in str(one.message)]
