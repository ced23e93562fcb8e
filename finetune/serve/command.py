"""`camelid serve` and `camelid chat`."""

import argparse
import importlib.util
import os
import sys
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from camelid.errors import UserError, suggest_name
from camelid.files.model_name import model_name
from camelid.files.read import read_text


def register(rooms: Any, rate_votes: Callable[[Path], dict[str, Any]]) -> None:
    """Add the `serve` and `chat` commands; `rate_votes` makes the leaderboard of a folder of votes."""
    parser = rooms.add_parser("serve", help="an OpenAI-compatible server and a chat page for models trained here")
    parser.add_argument("models", nargs="*", metavar="MODEL", help="model folder, under its run's name, or NAME=FOLDER")
    parser.add_argument(
        "--page-for",
        metavar="URL",
        help="no model here: the chat page, compare and votes for another OpenAI-compatible server, e.g. "
        "http://localhost:8000/v1",
    )
    _add_model_options(parser)
    parser.add_argument(
        "--lora",
        action="append",
        default=[],
        metavar="NAME=PEFT",
        help="an adapter served beside MODEL, under its own name, several times for several",
    )
    parser.add_argument("--lora-folder", metavar="DIR", help="clients may load and unload the adapters in it")
    parser.add_argument(
        "--system",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="system prompt of a model's chats that have none, several times for several models",
    )
    _add_reach(parser)
    parser.add_argument("--max-batch", type=int, default=64, metavar="N", help="answers written at once (default 64)")
    parser.add_argument(
        "--cache-tokens",
        type=int,
        metavar="N",
        help="prompt and answer tokens a model keeps in memory (default: a share of what is free)",
    )
    parser.add_argument(
        "--max-waiting", type=int, default=256, metavar="N", help="answers that may wait, then 429 (default 256)"
    )
    parser.add_argument("--timeout", type=float, default=600, metavar="S", help="seconds for a request (default 600)")
    parser.add_argument(
        "--votes", default="votes", metavar="DIR", help="where the page's votes go, for `eval report` (default votes)"
    )
    parser.add_argument(
        "--engine", choices=("native", "vllm"), default="native", help="vllm: hand over to an installed vLLM"
    )
    parser.set_defaults(run=run_serve, rate_votes=rate_votes)

    parser = rooms.add_parser("chat", help="talk to a model in the terminal")
    parser.add_argument("model", help="model folder")
    _add_model_options(parser)
    parser.add_argument("--system", help="system message")
    parser.add_argument(
        "--infill", action="store_true", help="no chat: fill the hole <FILL_ME> in each text (of a model that can)"
    )
    parser.add_argument("--temperature", type=float, default=0.7, help="0 = greedy (default 0.7)")
    parser.add_argument("--top-p", type=float, default=1.0, help="nucleus sampling mass (default 1)")
    parser.add_argument("--max-tokens", type=int, default=1024, metavar="N", help="of one answer (default 1024)")
    parser.add_argument("--seed", type=int, help="makes the answers the same every time")
    parser.set_defaults(run=run_chat)


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--adapter", metavar="PEFT", help="PEFT folder to add to the model's weights")
    parser.add_argument("--template", help="prompt template, where the tokenizer carries none")


def _add_reach(parser: argparse.ArgumentParser) -> None:
    """Where the server is, and who gets in."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default 127.0.0.1, this machine)")
    parser.add_argument("--port", type=int, default=8000, help="default 8000; 0 takes a free one")
    parser.add_argument("--api-key-file", metavar="FILE", help="clients must send a key in this file, one a line")
    parser.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a further name that it answers to, *.NAME for all below it, several times for several",
    )
    parser.add_argument(
        "--cors-origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="web pages that may use it, like https://chat.example, several times for several",
    )
    parser.add_argument("--root-path", default="", metavar="PATH", help="where a proxy puts it, like /llm")
    parser.add_argument("--tls-cert", metavar="FILE", help="speak HTTPS with this certificate, PEM")
    parser.add_argument("--tls-key", metavar="FILE", help="the certificate's key, PEM")
    parser.add_argument("--access-log", action="store_true", help="write a line for each request")


def run_serve(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    _check_options(args)
    folders, loras = _parse_names(args.models), _parse_names(args.lora)
    systems = _read_systems(args.system, {**folders, **loras})
    if loras and len(folders) != 1:
        raise UserError("--lora: give one MODEL with it, the one that the adapters were trained on")
    if set(folders) & set(loras):
        raise UserError("--lora: the model and an adapter have one name; give the adapter another")
    if args.adapter is not None and len(folders) > 1:
        raise UserError("--adapter: give one MODEL with it; to serve several, merge it first (`camelid weights merge`)")
    if args.engine == "vllm":
        return _vllm(args, folders)
    for package in ("fastapi", "uvicorn"):
        if importlib.util.find_spec(package) is None:
            raise UserError(f"{package} is not installed; run: pip install 'camelid[serve]'")
    from finetune.serve.access import Access, parse_host, parse_origin, parse_root_path, read_keys
    from finetune.serve.listen import Listening

    access = Access(
        args.host,
        tuple(map(parse_host, args.allowed_host)),
        tuple(map(parse_origin, args.cors_origin)),
        read_keys(args.api_key_file) if args.api_key_file is not None else (),
        parse_root_path(args.root_path),
    )
    listening = Listening(args.port, (args.tls_cert, args.tls_key) if args.tls_cert else None, args.access_log)
    if args.page_for is not None:
        from finetune.serve.page_for import run_page

        return run_page(args.page_for, access, listening, Path(args.votes), args.rate_votes)
    from finetune.serve.engine import ServerLimits
    from finetune.serve.open_adapter import open_served_adapter
    from finetune.serve.run import run_server
    from finetune.serve.served import open_served

    served = [open_served(folder, name, args.adapter, args.template) for name, folder in folders.items()]
    served += [open_served_adapter(served[0], name, peft) for name, peft in loras.items()]
    served = [replace(one, system=systems.get(one.name)) for one in served]
    adapters = bool(args.lora or args.lora_folder)
    limits = ServerLimits(args.max_batch, args.cache_tokens, args.max_waiting, args.timeout, adapters)
    loadable = None if args.lora_folder is None else Path(args.lora_folder)
    return run_server(served, limits, access, listening, Path(args.votes), args.rate_votes, loadable)


def _check_options(args: argparse.Namespace) -> None:
    for option, value in (
        ("--max-batch", args.max_batch),
        ("--max-waiting", args.max_waiting),
        ("--timeout", args.timeout),
    ):
        if value <= 0:
            raise UserError(f"{option} must be more than 0")
    if args.cache_tokens is not None and args.cache_tokens < 128:
        raise UserError("--cache-tokens must be at least 128")
    if not 0 <= args.port < 65536:
        raise UserError(f"--port {args.port}: must be from 0 to 65535")
    if args.page_for is None and not args.models:
        raise UserError("name a MODEL to serve, or another server with --page-for URL")
    for name in ("models", "adapter", "lora", "lora_folder", "template", "system"):
        if args.page_for is not None and getattr(args, name):
            option = "MODEL" if name == "models" else f"--{name.replace('_', '-')}"
            raise UserError(f"--page-for: the model is the other server's; leave {option} out")
    if (args.tls_cert is None) != (args.tls_key is None):
        raise UserError("--tls-cert and --tls-key go together: give both")
    if args.lora_folder is not None and not Path(args.lora_folder).is_dir():
        raise UserError(f"--lora-folder {args.lora_folder}: no such folder")


def run_chat(args: argparse.Namespace) -> int:
    """Chat until Ctrl-D."""
    if args.max_tokens < 1 or args.temperature < 0 or not 0 < args.top_p <= 1:
        raise UserError("--max-tokens must be at least 1, --temperature at least 0, --top-p above 0 and at most 1")
    from finetune.generate.sampling import Sampling
    from finetune.serve.infill_terminal import InfillTerminal
    from finetune.serve.served import open_served
    from finetune.serve.terminal import Terminal

    if args.infill and args.system is not None:
        raise UserError("--system: not with --infill, which is no chat; leave one of them out")
    sampling = Sampling(args.max_tokens, args.temperature, args.top_p)
    served = open_served(args.model, None, args.adapter, args.template)
    if args.infill:
        return InfillTerminal(served, sampling, args.seed).run()
    return Terminal(served, sampling, args.system, args.seed).run()


def _parse_names(models: list[str]) -> dict[str, str]:
    """Folders by the names that clients use."""
    named: dict[str, str] = {}
    for model in models:
        name, equals, folder = model.partition("=")
        if not equals or Path(model).exists():
            name, folder = model_name(model), model
        if not name or not folder:
            raise UserError(f"{model}: expected a model folder or NAME=FOLDER")
        if name in named:
            raise UserError(f"{model}: a second model named {name!r}; name it NAME=FOLDER")
        named[name] = folder
    return named


def _read_systems(options: list[str], names: Collection[str]) -> dict[str, str]:
    """System messages by the names of models."""
    systems = {}
    for option in options:
        name, equals, file = option.partition("=")
        if not equals or not file:
            raise UserError(f"--system {option}: expected NAME=FILE, the model's name and a file with the message")
        if name not in names:
            raise UserError(f"--system {option}: no model {name!r} is served{suggest_name(name, names)}")
        systems[name] = read_text(file).strip()
    return systems


def _vllm(args: argparse.Namespace, folders: dict[str, str]) -> int:
    """Become vLLM's own server, which has no chat page."""
    if importlib.util.find_spec("vllm") is None:
        raise UserError("--engine vllm: vLLM is not installed (pip install vllm); or leave the option out")
    from finetune.serve.access import read_keys

    for name in ("lora", "lora_folder"):
        if getattr(args, name):
            raise UserError(f"--{name.replace('_', '-')}: not with --engine vllm; start vLLM with its --lora-modules")
    for name in ("system", "allowed_host", "cors_origin", "root_path", "tls_cert", "access_log"):
        if getattr(args, name):
            raise UserError(f"--{name.replace('_', '-')}: not with --engine vllm; put a proxy before it")
    keys = read_keys(args.api_key_file) if args.api_key_file is not None else ()
    if len(keys) > 1:
        raise UserError(f"{args.api_key_file}: --engine vllm takes one key")
    command, more = vllm_command(folders, args.adapter, args.template, args.host, args.port, *keys)
    os.execve(sys.executable, [sys.executable, *command], {**os.environ, **more})


def vllm_command(
    folders: dict[str, str], adapter: str | None, template: str | None, host: str, port: int, key: str | None = None
) -> tuple[list[str], dict[str, str]]:
    """Arguments for Python, and environment variables, that start vLLM (docs.vllm.ai, `vllm serve`).

    The key goes into the environment, since other users of the machine can read a process's arguments.

    Raises:
        UserError: several models; vLLM serves one.
    """
    if len(folders) > 1:
        raise UserError("--engine vllm: vLLM serves one model; start it once for each, with different --port")
    [(name, folder)] = folders.items()
    command = ["-m", "vllm.entrypoints.openai.api_server", "--model", folder, "--host", host, "--port", str(port)]
    if adapter is None:
        command += ["--served-model-name", name]
    else:
        command += ["--served-model-name", f"{name}-base", "--enable-lora", "--lora-modules", f"{name}={adapter}"]
    if template is not None:
        raise UserError("--template: not with --engine vllm; store the template in the tokenizer")
    return command, ({} if key is None else {"VLLM_API_KEY": key})
