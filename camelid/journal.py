"""Every reply that was paid for, on disk before it is used."""

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Any

from camelid.errors import UserError
from camelid.jsonl import AppendLog, Record, read_jsonl
from camelid.llm import Reply, Usage


class Journal:
    """Replies by the key of their request (`Request.key`).

    Opening an existing journal reads all replies back, so a restarted run sends nothing twice.

    Attributes:
        usage: tokens billed for all replies in it.
        longest: completion tokens of the longest one.
    """

    def __init__(self, path: str | Path) -> None:
        self._log = AppendLog(path)
        self._replies: dict[str, Reply] = {}
        self._waiting: list[tuple[Record, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None
        self.usage, self.longest = Usage(), 0
        for place, record in read_jsonl(path):
            key, reply = _reply_from_json(record, place)
            self._add(key, reply)

    def __len__(self) -> int:
        return len(self._replies)

    def get(self, key: str) -> Reply | None:
        return self._replies.get(key)

    async def append(self, key: str, reply: Reply) -> None:
        """Return when the reply is on disk. Replies that come while the disk is busy share its next write."""
        written = asyncio.get_running_loop().create_future()
        self._waiting.append(({"key": key, "reply": _reply_to_json(reply)}, written))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        await written
        self._add(key, reply)

    def _add(self, key: str, reply: Reply) -> None:
        self._replies[key] = reply
        self.usage += reply.usage
        self.longest = max(self.longest, reply.usage.completion_tokens)

    async def _write(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, []
            try:
                await asyncio.to_thread(self._log.append_all, [record for record, _ in group])
            except OSError as error:
                fault = UserError(f"{self._log.path}: cannot write ({error.strerror}); free some space, then go on")
                for _, written in group:
                    written.set_exception(fault)
                continue
            for _, written in group:
                if not written.done():
                    written.set_result(None)

    def close(self) -> None:
        self._log.close()


def _reply_to_json(reply: Reply) -> Record:
    record = asdict(reply)
    if not reply.top_logprobs:
        del record["top_logprobs"]
    return record


def _reply_from_json(record: dict[str, Any], place: str) -> tuple[str, Reply]:
    try:
        fields = dict(record["reply"])
        logprobs = tuple(fields.pop("top_logprobs", ()))
        return record["key"], Reply(**{**fields, "usage": Usage(**fields["usage"]), "top_logprobs": logprobs})
    except (KeyError, TypeError) as error:
        raise UserError(f"{place}: not a journal line ({error}); move the file away to start anew") from None
