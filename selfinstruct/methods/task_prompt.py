"""What the teacher is told before it is shown tasks: our text or the user's, for one person's world after another."""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from camelid.errors import UserError
from camelid.files.read import parse_json, read_text

# Personas as a source of variety: Ge et al. 2024, "Scaling Synthetic Data Creation with 1,000,000,000 Personas".
_PERSONA = "All tasks are what this person would ask for, in their own work and life: {persona}"
SHORT, AS_SHOWN = "in under 100 words", "about as long as those of tasks like it that you are shown"


@dataclass(frozen=True)
class TaskPrompt:
    """The instructions of a prompt for new tasks.

    Attributes:
        text: with `{count}`, `{language}` and `{length}` where those go.
        length: how long outputs are to be.
        personas: descriptions of people, whose turn it is one after the other; none: nobody in particular.
    """

    text: str
    personas: tuple[str, ...] = ()
    length: str = SHORT

    def rules(self, count: int, language: str, number: int) -> str:
        """The text for request `number`, for so many tasks."""
        text = self.text.replace("{count}", str(count)).replace("{language}", language).replace("{length}", self.length)
        if not self.personas:
            return text
        return f"{text}\n\n{_PERSONA.format(persona=self.personas[number % len(self.personas)])}"


OWN_PROMPT = TaskPrompt(files("selfinstruct").joinpath("data/prompt.txt").read_text(encoding="utf-8").strip())


def read_task_prompt(prompt: str | Path | None, personas: str | Path | None, length: str = SHORT) -> TaskPrompt:
    """Read a prompt (our own for None) and a file of personas: a line each, plain or JSON with a field `persona`.

    Raises:
        UserError: the prompt does not say where the count goes, or a persona is missing.
    """
    text = OWN_PROMPT.text if prompt is None else read_text(prompt).strip()
    if "{count}" not in text:
        raise UserError(f"{prompt}: must say how many tasks to write, with {{count}} for their number")
    lines = [] if personas is None else read_text(personas).splitlines()
    people = tuple(_persona(line, f"{personas}:{n}") for n, line in enumerate(lines, start=1) if line.strip())
    if personas is not None and not people:
        raise UserError(f"{personas}: no persona; write one a line")
    return TaskPrompt(text, people, length)


def _persona(line: str, place: str) -> str:
    if not line.lstrip().startswith("{"):
        return line.strip()
    persona = parse_json(line, place).get("persona")
    if not isinstance(persona, str) or not persona.strip():
        raise UserError(f"{place}: field 'persona' must be a string, found {persona!r}")
    return persona.strip()
