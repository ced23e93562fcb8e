"""Every reply that was paid for, on disk before it is used."""

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Any

from camelid.errors import UserError
from camelid.files.read import Record, read_jsonl
from camelid.files.write import AppendLog
from camelid.models.llm import Failure, Reply, Usage


class Journal:
    """Replies, and failures a run has gone on without, by the key of their request (`Request.key`).

    Opening an existing journal reads all back, so a restarted run sends nothing twice.

    Attributes:
        usage: tokens billed for all in it.
        longest: completion tokens of the longest one.
    """

    def __init__(self, path: str | Path) -> None:
        self._log = AppendLog(path)
        self._results: dict[str, Reply | Failure] = {}
        self._waiting: list[tuple[Record, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None
        self.usage, self.longest = Usage(), 0
        for place, record in read_jsonl(path):
            self._add(*_from_json(record, place))

    def __len__(self) -> int:
        return len(self._results)

    def get(self, key: str) -> Reply | Failure | None:
        return self._results.get(key)

    async def append(self, key: str, result: Reply | Failure) -> None:
        """Return when the result is on disk. Results that come while the disk is busy share its next write."""
        written = asyncio.get_running_loop().create_future()
        self._waiting.append(({"key": key, **_to_json(result)}, written))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        await written
        self._add(key, result)

    def _add(self, key: str, result: Reply | Failure) -> None:
        self._results[key] = result
        self.usage += result.usage
        if isinstance(result, Reply):
            self.longest = max(self.longest, result.usage.completion_tokens)

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


def _to_json(result: Reply | Failure) -> Record:
    record = asdict(result)
    if isinstance(result, Failure):
        return {"failure": record}
    for name in ("top_logprobs", "reasoning", "mended"):
        if not record[name]:
            del record[name]
    return {"reply": record}


def _from_json(record: dict[str, Any], place: str) -> tuple[str, Reply | Failure]:
    try:
        fields = dict(record["failure"] if "failure" in record else record["reply"])
        fields["usage"] = Usage(**fields["usage"])
        if "failure" in record:
            return record["key"], Failure(**fields)
        logprobs = tuple(fields.pop("top_logprobs", ()))
        return record["key"], Reply(**fields, top_logprobs=logprobs)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{place}: not a journal line ({error}); move the file away to start anew") from None
