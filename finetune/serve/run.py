"""Starts the server and says where it is."""

import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch
import uvicorn

from camelid.errors import UserError
from finetune.serve.app import LOOPBACK, make_app
from finetune.serve.engine import ServerLimits
from finetune.serve.served import ServedModel

SWITCH_INTERVAL = 0.0005  # seconds; with Python's 0.005 the model's thread waits that long after each tensor operation
GRACE = 3  # seconds that answers in progress get when the server is stopped


def run_server(
    served: Sequence[ServedModel], limits: ServerLimits, api_key: str | None, votes: Path, host: str, port: int
) -> int:
    """Serve until Ctrl-C or a termination signal.

    Raises:
        UserError: the address can't be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise UserError(f"--host {host} --port {port}: {error.strerror}; choose another --port") from None
    if host not in LOOPBACK and api_key is None:
        print("camelid: anybody who reaches this address can use the model; consider --api-key-file", file=sys.stderr)
    sys.setswitchinterval(SWITCH_INTERVAL)
    torch.set_num_threads(max(1, torch.get_num_threads() - 1))  # one core is left for the clients
    app = make_app(served, limits, api_key, votes, host)
    address = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
    print(f"serving {', '.join(one.name for one in served)} at {address}/v1, chat page at {address}/", flush=True)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE, lifespan="on", ws="none"
    )
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])
    return 0
