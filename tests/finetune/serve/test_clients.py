"""Clients that other people use, each in an environment of its own: chat, stream, tools, schema."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from finetune.serve.served import open_served
from tests.finetune.serve.calling_model import CALL, save_calling_model
from tests.finetune.serve.client_environments import client_python
from tests.finetune.serve.client_scripts.expected import SCHEMA
from tests.finetune.serve.serving import Running, serving

pytestmark = pytest.mark.slow
SCRIPTS = Path(__file__).parent / "client_scripts"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("model") / "calling"
    save_calling_model(folder)
    with serving([open_served(folder, "calling")], tmp_path_factory.mktemp("votes")) as running:
        yield running


@pytest.mark.parametrize(
    "name", ["openai", "litellm", "langchain", "pydantic_ai", "openai_agents", "smolagents", "inspect_ai"]
)
def test_a_client_just_works(name: str, server: Running, tmp_path: Path) -> None:
    """The model says a call, whatever it is asked, and answers once it is told what that gave."""
    command = [str(client_python(name)), str(SCRIPTS / f"use_{name}.py"), server.url]
    alone = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}  # or it asks the network for prices first
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300, env=alone)
    assert done.returncode == 0, done.stderr[-3000:]
    found: list[Any] = json.loads(done.stdout.strip().splitlines()[-1])
    chat, stream, function, arguments, schema = found
    assert chat == stream == "".join(CALL)
    assert (function, arguments) == ("weather", {"city": "Rome"})
    if name == "inspect_ai":  # which sends no bounds
        assert set(schema) == {"name", "age"} and isinstance(schema["name"], str) and isinstance(schema["age"], int)
    else:
        jsonschema.validate(schema, SCHEMA)
