"""From what the user wrote after `--model` to an `LLM`: `offline`, a local folder, or an API model."""

import argparse
from pathlib import Path

from camelid.errors import UserError
from camelid.llm import LLM


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--model`, `--base-url`, `--concurrency`: the same everywhere a model is asked."""
    parser.add_argument(
        "--model",
        default="offline",
        help="model name at the API, local model folder, or 'offline' (embedded, rule-based; the default)",
    )
    parser.add_argument("--base-url", help="any OpenAI-compatible server, e.g. http://localhost:8000/v1")
    parser.add_argument("--concurrency", type=int, default=16, metavar="N", help="requests in flight (default 16)")


def open_model(name: str, base_url: str | None, concurrency: int) -> LLM:
    """Open a model.

    Args:
        name: `offline`, a folder with a `config.json`, or a model name at the API.
        base_url: the server; None means OpenAI (needs OPENAI_API_KEY).
        concurrency: most requests in flight.

    Raises:
        UserError: the folder is no model folder, or there is no API key.
    """
    if name == "offline":
        from camelid.offline.model import Offline

        return Offline()
    if base_url is None and (Path(name).exists() or name.startswith((".", "/"))):
        if not (Path(name) / "config.json").is_file():
            raise UserError(f"--model {name}: no model folder (it has no config.json)")
        from finetune.llama.local import LocalModel

        return LocalModel.open(name)
    from camelid.openai_api import OpenAIModel

    return OpenAIModel(name, base_url=base_url, concurrency=concurrency)
