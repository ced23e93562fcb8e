"""Environments of clients: each made from the package index on first use, kept in the user's cache folder."""

import subprocess
import venv
from pathlib import Path

import numpy as np

from benchmarks.peers import CACHE

PACKAGES = {
    "openai": ["openai"],
    "litellm": ["litellm"],
    "langchain": ["langchain-openai"],
    "pydantic_ai": ["pydantic-ai-slim[openai]"],
    "openai_agents": ["openai-agents"],
    "smolagents": ["smolagents[openai]"],
    "inspect_ai": ["inspect-ai", "openai"],
    "lm_eval": ["lm-eval[api]"],
}


def client_python(name: str) -> Path:
    """The interpreter of a client's environment. What this environment has counts there, torch above all."""
    folder = CACHE / "clients" / name
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        venv.create(folder, clear=True, with_pip=True)
        site = next((folder / "lib").glob("python3*")) / "site-packages"
        (site / "shared.pth").write_text(f"{Path(np.__file__).parents[1]}\n")
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, *PACKAGES[name]], check=True)
        (folder / "ready").touch()
    return python
