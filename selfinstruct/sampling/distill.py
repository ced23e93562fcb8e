"""Context distillation (LLaMA 2, Touvron et al. 2023, section 4.2.4): a preprompt's answers without the preprompt.

Each prompt is answered plainly and behind a safety preprompt, or the template of its risk category; `select --by
distill` keeps the preprompt's answer where the safety model prefers it to the plain one.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from camelid.config import load_config
from camelid.errors import UserError
from camelid.message import Message
from conversations.prompts import PromptToAnswer
from selfinstruct.sampling.sampler import Asked, SamplingTask

OWN = Path(__file__).parents[1] / "data" / "preprompts.yaml"


@dataclass(frozen=True)
class Preprompts:
    """What a model is told before a prompt.

    Attributes:
        preprompts: one of these is drawn for each prompt.
        categories: what it is told instead, by the prompt's `meta.category`.
    """

    preprompts: tuple[str, ...]
    categories: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.preprompts:
            raise UserError("preprompts: name at least one")
        for name, text in self.categories.items():
            if not isinstance(text, str):
                raise UserError(f"categories.{name} must be a string, found {text!r}")

    def of(self, prompt: PromptToAnswer, rng: random.Random) -> str:
        """What is told before a prompt."""
        return self.categories.get(str(prompt.meta.get("category"))) or rng.choice(self.preprompts)


def read_preprompts(path: str | Path | None = None) -> Preprompts:
    """Read preprompts from a YAML file, our own for None.

    Raises:
        UserError: the file is no such YAML.
    """
    return load_config(Preprompts, OWN if path is None else path)


def distill_tasks(prompts: Iterable[PromptToAnswer], preprompts: Preprompts, seed: int) -> Iterator[SamplingTask]:
    """What to ask for each prompt: itself, and itself behind a preprompt, which follows from its id."""
    for prompt in prompts:
        preprompt = preprompts.of(prompt, random.Random(f"distill {seed}/{prompt.id}")).strip()
        behind = with_preprompt(prompt.messages, preprompt)
        yield SamplingTask(prompt.id, prompt.messages, (Asked(prompt.messages), Asked(behind, preprompt)), prompt.meta)


def with_preprompt(messages: Sequence[Message], preprompt: str) -> tuple[Message, ...]:
    """The messages behind a system message that says it; one that is there already follows it."""
    if messages[0].role == "system":
        return Message("system", f"{preprompt}\n\n{messages[0].content}"), *messages[1:]
    return Message("system", preprompt), *messages
