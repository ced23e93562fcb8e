"""Starts the server of models trained here."""

<<<<<<< HEAD
import gc
import socket
import ssl
=======
>>>>>>> f140315e1c82dbe98d6be424a19dedb617273b5a
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from finetune.serve.access import Access
from finetune.serve.app import make_app
from finetune.serve.engine import ServerLimits
from finetune.serve.listen import Listening, run_app
from finetune.serve.served import ServedModel
from finetune.serve.votes import RateVotes

SWITCH_INTERVAL = 0.0005  # seconds; with Python's 0.005 the model's thread waits that long after each tensor operation


def run_server(
    served: Sequence[ServedModel],
    limits: ServerLimits,
    access: Access,
    listening: Listening,
    votes: Path,
    rate_votes: RateVotes,
) -> int:
    """Serve until Ctrl-C or a termination signal.

    Raises:
        UserError: the address, or the certificate, can't be used.
    """
    sys.setswitchinterval(SWITCH_INTERVAL)
    torch.set_num_threads(max(1, torch.get_num_threads() - 1))  # one core is left for the clients
<<<<<<< HEAD
    server = make_server(make_app(served, limits, access, votes, rate_votes), listening.access_log, listening.tls)
    gc.collect()
    gc.freeze()  # or every collection would walk over all that the libraries have made, for a tenth of a second
    print(where(served, access, listening, listener.getsockname()[1]), flush=True)
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    return 0


def where(served: Sequence[ServedModel], access: Access, listening: Listening, port: int) -> str:
    """What is served, and addresses that can be opened."""
    name = ANYWHERE.get(access.host) or (f"[{access.host}]" if ":" in access.host else access.host)
    address = f"{'https' if listening.tls else 'http'}://{name}:{port}"
    everywhere = " (and at this machine's other addresses)" if access.host in ANYWHERE else ""
    names = ", ".join(one.name for one in served)
    return f"serving {names} at {address}/v1{everywhere}, chat page at {address}/"


def _check_certificate(certificate: str, key: str) -> None:
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or error
        raise UserError(f"--tls-cert {certificate} --tls-key {key}: {reason}; both must be PEM files") from None
=======
    app = make_app(served, limits, access, votes, rate_votes)
    return run_app(app, f"serving {', '.join(one.name for one in served)}", access, listening)
>>>>>>> f140315e1c82dbe98d6be424a19dedb617273b5a
