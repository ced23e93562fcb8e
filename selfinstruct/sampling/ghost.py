"""Ghost Attention (LLaMA 2, Touvron et al. 2023, section 3.3, appendix A.3.5): an instruction that holds to the end.

The instruction stands before every turn of the user when answers are sampled, and before the first alone when the last
answer is trained; no earlier answer is trained. The paper keeps the earlier answers of the chats; sampled anew, as here
unless `--keep-answers` is given, they are in keeping with the instruction, as they will be where the model is used.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from camelid.config import load_config
from camelid.errors import UserError
from camelid.message import Message
from conversations.prompts import PromptToAnswer
from selfinstruct.placeholders import check_holds, fill
from selfinstruct.sampling.sampler import Asked, SamplingTask

OWN = Path(__file__).parents[1] / "data" / "ghost.yaml"
SHORTENED = 0.5  # the share of instructions that are trained in few words (appendix A.3.5)


@dataclass(frozen=True)
class Constraint:
    """A kind of constraint.

    Attributes:
        name: what it constrains.
        long: the instruction, with `{choice}`.
        short: the same in few words.
        choices: what may stand there.
    """

    name: str
    long: str
    short: str
    choices: tuple[str, ...]

    def __post_init__(self) -> None:
        for form, text in (("long", self.long), ("short", self.short)):
            check_holds(text, ("{choice}",), f"constraint {self.name!r}: {form}", "selfinstruct/data/ghost.yaml")
        if not self.choices:
            raise UserError(f"constraint {self.name!r}: choices: name at least one")


@dataclass(frozen=True)
class GhostConstraints:
    """The kinds of constraint that instructions are made of."""

    constraints: tuple[Constraint, ...]

    def __post_init__(self) -> None:
        if not self.constraints:
            raise UserError("constraints: name at least one")

    def draw(self, rng: random.Random) -> tuple[str, str]:
        """An instruction of one to all constraints, in any order: as it is sampled with and as it is trained."""
        kinds = rng.sample(self.constraints, rng.randint(1, len(self.constraints)))
        chosen = [(kind, rng.choice(kind.choices)) for kind in kinds]
        sampled = " ".join(fill(kind.long, choice=choice) for kind, choice in chosen)
        if rng.random() >= SHORTENED:
            return sampled, sampled
        return sampled, " ".join(fill(kind.short, choice=choice) for kind, choice in chosen)


def read_constraints(path: str | Path | None = None) -> GhostConstraints:
    """Read constraints from a YAML file, our own for None.

    Raises:
        UserError: the file is no such YAML, or a text does not say where the choice goes.
    """
    return load_config(GhostConstraints, OWN if path is None else path)


def ghost_tasks(prompts: Iterable[PromptToAnswer], constraints: GhostConstraints, seed: int) -> Iterator[SamplingTask]:
    """What to ask for each chat, and what to train on; which instruction a chat gets follows from its id."""
    for prompt in prompts:
        sampled, trained = constraints.draw(random.Random(f"ghost {seed}/{prompt.id}"))
        every = sum(message.role == "user" for message in prompt.messages)
        yield SamplingTask(
            prompt.id,
            without_earlier_answers(with_instruction(prompt.messages, trained, 1)),
            (Asked(with_instruction(prompt.messages, sampled, every)),),
            {**prompt.meta, "instruction": sampled},
        )


def with_instruction(messages: Sequence[Message], instruction: str, turns: int) -> tuple[Message, ...]:
    """The messages with the instruction before each of the first so many turns of the user."""
    joined, left = list[Message](), turns
    for message in messages:
        if message.role == "user" and left:
            message, left = replace(message, content=f"{instruction}\n\n{message.content}"), left - 1
        joined.append(message)
    return tuple(joined)


def without_earlier_answers(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The messages with every answer's weight 0."""
    return tuple(replace(message, weight=0.0) if message.role == "assistant" else message for message in messages)
