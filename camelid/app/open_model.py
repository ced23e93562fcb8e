"""From what the user wrote after `--model` to a model ready for a job: `offline`, a local folder, or an API model."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from camelid.errors import UserError
from camelid.files.model_name import model_name
from camelid.files.paths import suggest_path
from camelid.models.llm import LLM
from camelid.models.model_run import ModelRun
from camelid.models.request_options import add_request_arguments, read_request_options
from camelid.models.spend import Price, list_price, parse_price

CONCURRENCY = 16
BATCH_CONCURRENCY = 10_000  # a batch is worth its wait only if much goes into it (a file may hold 50,000 requests)


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--model` and how to use it: the same everywhere a model is asked."""
    parser.add_argument(
        "--model",
        default="offline",
        help="model name at the API, local model folder, or 'offline' (embedded, rule-based; the default)",
    )
    parser.add_argument(
        "--base-url",
        action="append",
        metavar="URL",
        help="any OpenAI-compatible server, e.g. http://localhost:8000/v1; repeat it to spread requests over several",
    )
    parser.add_argument(
        "--engine", choices=("native", "vllm"), default="native", help="what runs a local model folder (default native)"
    )
    add_request_arguments(parser)
    parser.add_argument("--concurrency", type=int, metavar="N", help=f"requests in flight (default {CONCURRENCY})")
    parser.add_argument("--max-cost", type=float, metavar="USD", help="stop before more than this is spent")
    parser.add_argument("--max-requests", type=int, metavar="N", help="stop after this many requests")
    parser.add_argument(
        "--price",
        metavar="PROMPT,COMPLETION",
        help="USD per million tokens, or a file like camelid/models/prices.yaml (default: the list price, if known)",
    )
    parser.add_argument(
        "--batch", action="store_true", help="use the Batch API: half the price, replies within 24 hours"
    )


def open_model(args: argparse.Namespace, journal: Path | Callable[[str], Path]) -> ModelRun:
    """Open the model that the arguments of `add_model_arguments` describe.

    Args:
        args: the parsed arguments.
        journal: the file that keeps its replies, or a function that names it from the model's name. It is opened by
            the result's `with` block.

    Raises:
        UserError: the folder is no model folder, there is no API key, or options don't go together.
    """
    concurrency = args.concurrency or (BATCH_CONCURRENCY if args.batch else CONCURRENCY)
    for option, value, least in (
        ("--concurrency", args.concurrency, 1),
        ("--max-requests", args.max_requests, 1),
        ("--max-cost", args.max_cost, 0),
    ):
        if value is not None and not value >= least:
            raise UserError(f"{option} must be at least {least}")
    options = read_request_options(args)
    price = _price(args)
    if args.max_cost is not None and price is None:
        raise UserError(f"--max-cost: the price of {args.model} is not known; add --price PROMPT,COMPLETION")
    llm = _open(args, concurrency, journal)
    run = ModelRun(llm, journal, concurrency, price, args.max_cost, args.max_requests, args.batch, options)
    if _is_folder(args):
        run.label = model_name(args.model)
    return run


def _is_folder(args: argparse.Namespace) -> bool:
    """Whether `--model` means a folder: what stands there, or can be no name at the API, where names have no slash."""
    name: str = args.model
    at_openai = not args.base_url and not os.environ.get("OPENAI_BASE_URL")
    return not args.base_url and (Path(name).exists() or name.startswith((".", "/")) or (at_openai and "/" in name))


def _price(args: argparse.Namespace) -> Price | None:
    """What the user says, or the list price of that name, whoever serves it (`Price.origin` says so)."""
    price = parse_price(args.price, args.model) if args.price is not None else list_price(args.model)
    return price.in_batch() if price and args.batch else price


def _open(args: argparse.Namespace, concurrency: int, journal: Path | Callable[[str], Path]) -> LLM:
    name: str = args.model
    local = _is_folder(args)
    if args.batch and (local or name == "offline"):
        raise UserError(f"--batch: {name} has no Batch API; leave the option out")
    if args.engine != "native" and not local:
        raise UserError(f"--engine {args.engine}: {name} is no local model folder; leave the option out")
    continuing = getattr(args, "completions", False)
    if continuing and (local or args.batch or name == "offline"):
        raise UserError("--completions: needs a server with /v1/completions, such as `camelid serve`; see --base-url")
    if name == "offline":
        from camelid.models.offline.model import Offline

        return Offline()
    if local:
        if not (Path(name) / "config.json").is_file():
            missing = "it has no config.json" if Path(name).exists() else "it is not there"
            near = suggest_path(name) or "; a server's model needs --base-url"
            raise UserError(f"--model {name}: no model folder ({missing}){near}")
        from finetune.generate.local import LocalModel

        return LocalModel.open(name, args.engine)
    if args.batch:
        from camelid.models.batch_api import BatchModel

        if args.base_url and len(args.base_url) > 1:
            raise UserError("--batch: give one --base-url, a batch goes to one server")
        path = journal(name) if callable(journal) else journal
        return BatchModel(name, path.with_suffix(".batches"), args.base_url[0] if args.base_url else None)
    from camelid.models.openai_api import OpenAIModel

    return OpenAIModel(name, args.base_url, concurrency, continuing=continuing)
