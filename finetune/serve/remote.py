"""Another server that speaks OpenAI's protocol, asked in the name of the chat page."""

from collections.abc import AsyncIterator
from typing import Any

from camelid.models.protocol import connect, connection_failure
from finetune.serve.errors import ApiError

Event = dict[str, Any]
"""One of a streamed answer, as the protocol has it."""


class Remote:
    """The server at an address.

    Args:
        base_url: as `http://localhost:8000/v1`. The key is OPENAI_API_KEY, unless a request brings one.
    """

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self._client = connect("", base_url)
        self._names: list[str] | None = None

    async def models(self, key: str | None = None) -> list[str]:
        """The names of its models.

        Raises:
            ApiError: what the server said, or 502, it can't be reached.
        """
        import openai

        try:
            self._names = [model.id async for model in self._asking(key).models.list()]
        except openai.APIError as error:
            raise self._failure(error) from None
        return self._names

    async def known_models(self) -> list[str]:
        """The same, as the page was told them last."""
        return await self.models() if self._names is None else self._names

    async def stream(self, body: dict[str, Any], key: str | None = None) -> AsyncIterator[Event]:
        """The events of an answer.

        Args:
            body: of a request for a chat completion, with any fields that the server understands.
            key: what the client sent.

        Raises:
            ApiError: what the server said, or 502, it can't be reached or broke off.
        """
        import openai

        more = {name: value for name, value in body.items() if name not in ("model", "messages", "stream")}
        asking = self._asking(key).chat.completions
        try:
            events = await asking.create(model=body["model"], messages=body["messages"], stream=True, extra_body=more)
            async with events:
                async for event in events:
                    yield event.to_dict(mode="json")
        except openai.APIError as error:
            raise self._failure(error) from None

    async def close(self) -> None:
        await self._client.close()

    def _asking(self, key: str | None) -> Any:
        return self._client if key is None else self._client.with_options(api_key=key)

    def _failure(self, error: Any) -> ApiError:
        import openai

        if isinstance(error, openai.APIConnectionError):
            detail = connection_failure(error, self.base_url, 0).detail
            return ApiError(502, f"the server behind this page does not answer: {detail}", "upstream")
        said = error.body.get("message") if isinstance(error.body, dict) else None
        return ApiError(getattr(error, "status_code", 502), str(said or error.message), "upstream")
