"""The connection to a server that speaks OpenAI's protocol: OpenAI, Azure, and whoever does as they do."""

import os
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from camelid.errors import UserError
from camelid.models.llm import Failure

TIMEOUT = 600.0  # seconds for one reply, the openai package's default
CONNECT_TIMEOUT = 5.0  # seconds to reach a server, the openai package's default
_ENDPOINT = "/chat/completions"  # the end of addresses as portals show them


def connect(name: str, base_url: str | None, timeout: float = TIMEOUT, retries: int = 0) -> Any:
    """An `openai.AsyncOpenAI` for a server; None means OpenAI.

    An address with `api-version` in its query (or of a host at azure.com, with the variable OPENAI_API_VERSION set) is
    Azure's: `https://NAME.openai.azure.com/openai?api-version=2024-10-21` asks the deployment of the model's name,
    `.../openai/deployments/DEPLOYMENT?api-version=...` that one; the key is AZURE_OPENAI_API_KEY or OPENAI_API_KEY.

    The transport is aiohttp: with hundreds of connections the default one spends four times the processor time, most of
    it looking for a free connection.

    Raises:
        UserError: there is no API key (with a `base_url` none is needed), or the server's address is none.
    """
    import openai

    option = "OPENAI_BASE_URL" if base_url is None else "--base-url"  # the variable is the package's
    address = base_url or os.environ.get("OPENAI_BASE_URL") or None
    if address is not None and not address.startswith(("http://", "https://")):
        raise UserError(f"{option} {address}: must begin with http:// or https://, as http://localhost:8000/v1")
    key = os.environ.get("OPENAI_API_KEY") or (None if base_url is None else "none")
    limits = openai.Timeout(timeout, connect=min(timeout, CONNECT_TIMEOUT))
    settings: dict[str, Any] = {"timeout": limits, "max_retries": retries}
    address, query = _split_query(address)
    version = query.pop("api-version", None) or _azure_version(address)
    if version and address:
        key = os.environ.get("AZURE_OPENAI_API_KEY") or key
        address += "" if urlsplit(address).path else "/openai"
    if key is None:
        raise UserError(
            f"--model {name}: no API key; set OPENAI_API_KEY, name a server with --base-url, "
            "or use --model offline or a model folder"
        )
    settings |= {"api_key": key, "base_url": address, "default_query": query or None}
    settings["http_client"] = openai.DefaultAioHttpClient(timeout=limits)
    if version:
        return openai.AsyncAzureOpenAI(api_version=version, **settings)
    return openai.AsyncOpenAI(**settings)


def _split_query(address: str | None) -> tuple[str | None, dict[str, str]]:
    """An address without its query, and that; without the endpoint, which the client adds itself."""
    if address is None:
        return None, {}
    parts = urlsplit(address)
    path = parts.path.rstrip("/").removesuffix(_ENDPOINT)
    return parts._replace(path=path, query="").geturl(), dict(parse_qsl(parts.query))


def _azure_version(address: str | None) -> str | None:
    """The API version that the environment sets, for an address at Azure that is not of its newer, OpenAI-like API."""
    parts = urlsplit(address or "")
    at_azure = (parts.hostname or "").endswith(".azure.com") and not parts.path.endswith("/v1")
    return os.environ.get("OPENAI_API_VERSION") if at_azure else None


def connection_failure(error: Exception, base_url: object, timeout: float) -> Failure:
    """What an `openai.APIConnectionError` means. The aiohttp transport calls a refused one `ConnectTimeout`."""
    import openai

    cause = error.__cause__
    if isinstance(error, openai.APITimeoutError) and type(cause).__name__ != "ConnectTimeout":
        return Failure("timeout", f"no reply within {timeout:g} s")
    return Failure("connection", f"{base_url}: {cause or error}")
