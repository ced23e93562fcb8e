"""Listens for a server's clients, and says where."""

import socket
import ssl
import sys
from contextlib import suppress
from dataclasses import dataclass

from fastapi import FastAPI

from camelid.errors import UserError
from finetune.serve.access import LOOPBACK, Access
from finetune.serve.connections import make_server

ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}  # to listen at, not to open


@dataclass(frozen=True)
class Listening:
    """How the server is reached.

    Attributes:
        port: 0 takes a free one.
        tls: files of a certificate and its key; without them it speaks plain HTTP.
        access_log: whether it writes a line for each request.
    """

    port: int = 8000
    tls: tuple[str, str] | None = None
    access_log: bool = False


def run_app(app: FastAPI, what: str, access: Access, listening: Listening) -> int:
    """Run an application until Ctrl-C or a termination signal.

    Args:
        app: with `state.stop()`, which ends answers that are not finished.
        what: is served, for a person.
        access, listening: how it is reached.

    Raises:
        UserError: the address, or the certificate, can't be used.
    """
    if listening.tls is not None:
        _check_certificate(*listening.tls)
    host, port = access.host, listening.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise UserError(f"--host {host} --port {port}: {error.strerror}; choose another --port") from None
    if host not in LOOPBACK and not access.keys:
        print("camelid: anybody who reaches this address can use the model; consider --api-key-file", file=sys.stderr)
    server = make_server(app, listening.access_log, listening.tls)
    print(where(what, access, listening, listener.getsockname()[1]), flush=True)
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    return 0


def where(what: str, access: Access, listening: Listening, port: int) -> str:
    """What is served, and addresses that can be opened."""
    name = ANYWHERE.get(access.host) or (f"[{access.host}]" if ":" in access.host else access.host)
    address = f"{'https' if listening.tls else 'http'}://{name}:{port}"
    everywhere = " (and at this machine's other addresses)" if access.host in ANYWHERE else ""
    return f"{what} at {address}/v1{everywhere}, chat page at {address}/"


def _check_certificate(certificate: str, key: str) -> None:
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or error
        raise UserError(f"--tls-cert {certificate} --tls-key {key}: {reason}; both must be PEM files") from None
