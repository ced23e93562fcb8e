"""A model whose answers a test writes."""

from collections.abc import Callable

from camelid.models.llm import Failure, Reply, Request, Usage


class Scripted:
    """Answers by a function of the last message; keeps what it was asked."""

    name = "scripted"

    def __init__(self, reply: Callable[[str], str | Reply | Failure]) -> None:
        self.reply, self.asked = reply, list[Request]()

    async def complete(self, request: Request) -> Reply | Failure:
        self.asked.append(request)
        result = self.reply(request.messages[-1].content)
        return Reply(result, self.name, usage=Usage(10, 2)) if isinstance(result, str) else result
