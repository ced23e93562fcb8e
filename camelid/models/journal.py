"""Every reply that was paid for, on disk before it is used."""

import asyncio
import os
import tempfile
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from camelid.errors import UserError
from camelid.files.read import Record, read_jsonl
from camelid.files.write import AppendLog, dumps
from camelid.models.llm import Failure, Reply, Usage

SPARE = 4 << 20  # bytes: hundreds of replies of 2,048 tokens (10 KB), more than are in flight


class Journal:
    """Replies, and failures a run has gone on without, by the key of their request (`Request.key`).

    Opening an existing journal reads all back, so a restarted run sends nothing twice.

    Args:
        path: the file.
        model: who is asked. What another model was asked, in a journal that both share, is not this one's bill.

    Attributes:
        answered: how many results in it are the model's.
        usage: tokens billed for them.
        longest: completion tokens of the longest one.
        fault: why nothing more should be bought: the file cannot be written. Replies that are under way then are kept
            all the same, in space that was set aside or, where the file itself is at fault, in one beside it
            (`.overflow`), which the next run takes back.
    """

    def __init__(self, path: str | Path, model: str = "") -> None:
        self._log, self._model = AppendLog(path), model
        self._results: dict[str, Reply | Failure] = {}
        self._waiting: list[tuple[Record, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None
        self.answered, self.usage, self.longest = 0, Usage(), 0
        self.fault: UserError | None = None
        self._spare = _set_space_aside(self._log.path.parent)
        self._overflow = self._log.path.with_name(f"{self._log.path.name}.overflow")
        self._take_back_overflow()
        for place, record in read_jsonl(path):
            self._add(*_from_json(record, place), record.get("model", model))  # 0.1.0 did not write who was asked

    def _take_back_overflow(self) -> None:
        """Append what an earlier run had to write elsewhere."""
        if self._overflow.exists():
            AppendLog(self._overflow).close()  # cuts off a torn line
            self._log.append_all(record for _, record in read_jsonl(self._overflow))
            self._overflow.unlink()

    def __len__(self) -> int:
        return len(self._results)

    def get(self, key: str) -> Reply | Failure | None:
        return self._results.get(key)

    async def append(self, key: str, result: Reply | Failure) -> None:
        """Return when the result is on disk. Results that come while the disk is busy share its next write.

        Raises:
            UserError: it could not be written.
        """
        record = {"key": key, "model": self._model, **_to_json(result)}
        dumps(record).encode()  # a record that cannot be written fails alone
        written = asyncio.get_running_loop().create_future()
        self._waiting.append((record, written))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        await written
        self._add(key, result, self._model)

    def _add(self, key: str, result: Reply | Failure, model: str) -> None:
        new = key not in self._results
        self._results[key] = result
        if model != self._model:
            return
        self.answered += new
        self.usage += result.usage
        if isinstance(result, Reply):
            self.longest = max(self.longest, result.usage.completion_tokens)

    async def _write(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, []
            try:
                await asyncio.to_thread(self._store, [record for record, _ in group])
            except BaseException as error:  # whatever it was: who waits must not wait for ever
                for _, written in group:
                    if not written.done():
                        written.set_exception(error)
                if not isinstance(error, Exception):
                    raise
                continue
            for _, written in group:
                if not written.done():
                    written.set_result(None)

    def _store(self, records: list[Record]) -> None:
        """Write records. Where the file takes no more, what is under way still finds a place; see `fault`."""
        try:
            self._log.append_all(records)
        except OSError as error:
            reason = f"{self._log.path}: cannot write ({error.strerror or error})"
            self.fault = UserError(f"{reason}; free some space, then the same command goes on, nothing paid is lost")
            self._spare.close()
            for log in (self._log.path, self._overflow):
                try:
                    with AppendLog(log) as place:
                        place.append_all(records)
                    return
                except OSError:
                    continue
            self.fault = UserError(f"{reason}; free some space: replies that were under way are lost")
            raise self.fault from error

    def close(self) -> None:
        self._spare.close()
        self._log.close()


def _set_space_aside(folder: Path) -> IO[bytes]:
    """A file without a name that takes up `SPARE` bytes until it is closed (or the process ends); fewer if need be."""
    spare = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
    for size in (SPARE, SPARE // 16, SPARE // 256):
        with suppress(OSError, AttributeError):  # no space; a system that cannot promise any
            os.posix_fallocate(spare.fileno(), 0, size)
            break
    return spare


def _to_json(result: Reply | Failure) -> Record:
    record = asdict(result)
    if not result.usage.reckoned:
        del record["usage"]["reckoned"]
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
