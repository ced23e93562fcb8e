"""What a generation method is: one frozen object that says what it starts from, what it takes, how it makes records.

`selfinstruct.methods.table` holds them all. Who needs to know something about a method asks a property, never its name.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from camelid.models.model_run import ModelRun
from selfinstruct.keep_arguments import DEFAULT_RULES
from selfinstruct.methods.task_prompt import SHORT
from selfinstruct.run import GenerationRun
from selfinstruct.seeds import Task

AUTO = "auto"  # the `--format` that leaves the choice to the method; all methods have it


class FormatChoice(Protocol):
    """A form of the replies that the user can ask for."""

    @property
    def name(self) -> str:
        """What `--format` calls it."""
        ...

    @property
    def help(self) -> str:
        """What `--help` says of it."""
        ...

    @property
    def compat(self) -> bool:
        """Whether its tasks are also filtered as Alpaca's code did; see `Selection`."""
        ...


@dataclass(frozen=True)
class MethodInputs:
    """What a method may draw on.

    Attributes:
        seeds: the seed tasks.
        instructions: the records to evolve; empty unless the method evolves.
        seed: of whatever it draws.
        language: in which the teacher is told to write, such as `English`.
        format: a name of `Method.formats`, or `AUTO`.
        texts: what back-translation starts from; empty unless the method takes texts.
        turns: of the user in each record.
        prompt: a file of the user's with what the teacher is told, in the form that the method reads; None for ours.
        personas: a file of people whose tasks to write; None for nobody in particular.
        length: how long outputs are to be, in words of a prompt.
        programs: runs code; there if the method executes.
    """

    seeds: Sequence[Task]
    instructions: Sequence[Task] = ()
    seed: int = 0
    language: str = "English"
    format: str = AUTO
    texts: Sequence[str] = ()
    turns: int = 1
    prompt: str | Path | None = None
    personas: str | Path | None = None
    length: str = SHORT
    programs: ModelRun | None = None


@dataclass(frozen=True)
class Method:
    """A way to make records.

    Attributes:
        name: what `--method` calls it.
        help: what `--help` says of it where it is the default.
        generate: makes the records of a run: asks with `run.ask` or `run.answers`, hands what it reads to
            `run.keep_passing`, and sets `run.stopped` if it can make no more before `run.ended`.
        evolves: it starts from records (`--instructions`) and not from seed tasks; what it makes need not differ from
            either, only from what it has made.
        formats: what `--format` may be, `AUTO` among them; empty if it takes none.
        offline: the embedded model understands its prompts.
        from_texts: it starts from texts (`--texts`), which become the answers.
        has_prompt: the user can say what the teacher is told (`--prompt`).
        has_personas: and for whom tasks are (`--persona`).
        has_turns: it can make conversations (`--turns`).
        answers_apart: answers can be asked for apart from the tasks (`--answers`, ...).
        executes: it runs what the teacher writes (`--sandbox`).
        rules: for the instructions, where the user names none: see `read_rules`.
    """

    name: str
    help: str
    generate: Callable[[GenerationRun, MethodInputs], Awaitable[None]]
    evolves: bool = False
    formats: tuple[FormatChoice, ...] = ()
    offline: bool = False
    from_texts: bool = False
    has_prompt: bool = False
    has_personas: bool = False
    has_turns: bool = False
    answers_apart: bool = True
    executes: bool = False
    rules: str = DEFAULT_RULES

    def is_compat(self, format: str) -> bool:
        """Whether the tasks of that format are filtered as Alpaca's code did."""
        return any(choice.compat for choice in self.formats if choice.name == format)
