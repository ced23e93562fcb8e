"""A server for tests, in a thread of this process, as a context manager."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from camelid.app.rate_votes import rate_votes
from finetune.serve.access import Access
from finetune.serve.app import make_app
from finetune.serve.connections import make_server
from finetune.serve.engine import ServerLimits
from finetune.serve.served import ServedModel


@dataclass
class Running:
    """A server that runs.

    Attributes:
        address: like `http://127.0.0.1:1234`.
        votes: the folder for the page's votes.
    """

    address: str
    votes: Path

    @property
    def url(self) -> str:
        return self.address + "/v1"

    @property
    def port(self) -> int:
        return int(self.address.rsplit(":", 1)[1])


@contextlib.contextmanager
def serving(
    served: Sequence[ServedModel],
    votes: Path,
    limits: ServerLimits | None = None,
    api_key: str | None = None,
    access: Access | None = None,
    access_log: bool = False,
    tls: tuple[str, str] | None = None,
    lora_folder: Path | None = None,
) -> Iterator[Running]:
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    access = access or Access(keys=() if api_key is None else (api_key,))
    app = make_app(served, limits or ServerLimits(), access, votes, rate_votes, lora_folder)
    server = make_server(app, access_log, tls)
    server.config.timeout_graceful_shutdown = 1
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield Running(f"http://127.0.0.1:{listener.getsockname()[1]}", votes)
    finally:
        server.should_exit = True
        thread.join()
