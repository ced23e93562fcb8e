"""The optional filter that asks a model how good a record is."""

import asyncio
import re
from collections.abc import Sequence
from importlib.resources import files

from camelid.llm import LLM, Failure, Reply, Request
from conversations.message import Message
from selfinstruct.seeds import Task

MAX_TOKENS = 200  # a sentence of reason and the score
_SCORE = re.compile(r"Score:\s*\[\[\s*(\d(?:\.\d+)?)\s*\]\]")


class Quality:
    """Scores records from 0 to 5, the scale of AlpaGasus (Chen et al. 2023, section 2.2).

    Args:
        llm: the model that scores.
        threshold: the lowest score that is kept.
    """

    def __init__(self, llm: LLM, threshold: float) -> None:
        self._llm, self._threshold = llm, threshold
        self._prompt = files("selfinstruct").joinpath("data/quality.txt").read_text(encoding="utf-8").strip()

    async def reasons_to_drop(self, tasks: Sequence[Task]) -> list[str | None]:
        """Score the tasks at the same time; a task without a score is dropped, under a reason of its own."""
        results = await asyncio.gather(*(self._llm.complete(self._request(task)) for task in tasks))
        return [self._reason(result) for result in results]

    def _request(self, task: Task) -> Request:
        prompt = self._prompt.format(instruction=task.instruction, input=task.input or "(none)", output=task.output)
        return Request((Message("user", prompt),), temperature=0.0, max_tokens=MAX_TOKENS)

    def _reason(self, result: Reply | Failure) -> str | None:
        if isinstance(result, Failure):
            return f"quality not scored: {result.kind}"
        found = _SCORE.search(result.text)
        if not found:
            return "quality not scored: no score in the reply"
        return f"quality below {self._threshold:g}" if float(found[1]) < self._threshold else None
