"""The optional filter that asks a model how good a record is."""

import asyncio
import re
from pathlib import Path

from camelid.files.read import read_text
from camelid.message import Message
from camelid.models.llm import FATAL, LLM, Failure, Request
from selfinstruct.placeholders import check_holds, fill
from selfinstruct.seeds import Task

OWN = Path(__file__).parents[1] / "data" / "quality.txt"
MAX_TOKENS = 200  # a sentence of reason and the score
_SCORE = re.compile(r"Score:\s*\[\[\s*(\d(?:\.\d+)?)\s*\]\]")


class Quality:
    """Scores records from 0 to 5, the scale of AlpaGasus (Chen et al. 2023, section 2.2).

    Args:
        model: the model that scores.
        threshold: the lowest score that is kept.
        prompt: a file with what is asked (ours for None): `{instruction}`, `{input}`, `{output}` where those go, and a
            reply in the form `Score: [[4]]`.

    Attributes:
        fatal: a failure after which nothing more will be scored.
    """

    def __init__(self, model: LLM, threshold: float, prompt: str | Path | None = None) -> None:
        self._model, self._threshold = model, threshold
        self._prompt = read_text(prompt or OWN).strip()
        wanted = ("{instruction}", "{output}", "Score: [[")
        check_holds(self._prompt, wanted, prompt, "selfinstruct/data/quality.txt")
        self._asking: dict[Task, asyncio.Task[float | str]] = {}
        self.fatal: Failure | None = None

    async def reason_to_drop(self, task: Task) -> str | None:
        """Return why a task is no good, or None; one without a score is dropped too, under a reason of its own.

        Each task is scored once, however often it is asked about.
        """
        found = await self._find_score(task)
        if isinstance(found, str):
            return found
        return f"quality below {self._threshold:g}" if found < self._threshold else None

    async def score(self, task: Task) -> float | None:
        """The score, or None if there is none."""
        found = await self._find_score(task)
        return None if isinstance(found, str) else found

    async def _find_score(self, task: Task) -> float | str:
        """The score, or why there is none."""
        if task not in self._asking:
            self._asking[task] = asyncio.create_task(self._ask(task))
        return await self._asking[task]

    async def _ask(self, task: Task) -> float | str:
        result = await self._model.complete(self._request(task))
        if isinstance(result, Failure):
            if result.kind in FATAL:
                self.fatal = result
            return f"quality not scored: {result.kind}"
        found = _SCORE.search(result.text)
        return float(found[1]) if found else "quality not scored: no score in the reply"

    def _request(self, task: Task) -> Request:
        prompt = fill(self._prompt, instruction=task.instruction, input=task.input or "(none)", output=task.output)
        return Request((Message("user", prompt),), temperature=0.0, max_tokens=MAX_TOKENS)
