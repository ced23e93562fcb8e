"""What Evol-Instruct tells the teacher: our texts (`selfinstruct/data/evol.yaml`) or the user's."""

from dataclasses import dataclass
from pathlib import Path

from camelid.config import load_config
from camelid.errors import UserError
from selfinstruct.placeholders import check_holds, fill

OWN = Path(__file__).parents[1] / "data" / "evol.yaml"


@dataclass(frozen=True)
class EvolPrompts:
    """The prompts.

    Attributes:
        operators: ways to change a task, by name.
        evolve: asks for the changed task, with `{operator}` and `{task}`.
        equal: asks whether two tasks are the same, with `{first}` and `{second}`; the answer is to begin with "Equal"
            if they are.
        bounds: what operators say at `{bounds}`.
    """

    operators: dict[str, str]
    evolve: str
    equal: str
    bounds: str = ""

    def __post_init__(self) -> None:
        if not self.operators:
            raise UserError("operators: name at least one way to change a task")
        for name, text in self.operators.items():
            if not isinstance(name, str) or not isinstance(text, str):
                raise UserError(f"operators: {name!r} and what it says must be strings, found {text!r}")
        check_holds(self.evolve, ("{operator}", "{task}"), "evolve", "selfinstruct/data/evol.yaml")
        check_holds(self.equal, ("{first}", "{second}"), "equal", "selfinstruct/data/evol.yaml")

    def ask_evolved(self, operator: str, task: str) -> str:
        """The prompt for a task changed in one way."""
        return fill(self.evolve, operator=fill(self.operators[operator], bounds=self.bounds), task=task)

    def ask_equal(self, first: str, second: str) -> str:
        """The prompt that compares two tasks."""
        return fill(self.equal, first=first, second=second)


def read_evol_prompts(path: str | Path | None = None) -> EvolPrompts:
    """Read prompts from a YAML file, our own for None.

    Raises:
        UserError: the file is no such YAML, or a text does not say where its parts go.
    """
    return load_config(EvolPrompts, OWN if path is None else path)
