"""The world that runs are tested in."""

from pathlib import Path

import pytest

from tests.finetune.ppo.world import write_world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_world(tmp_path_factory.mktemp("world"))
