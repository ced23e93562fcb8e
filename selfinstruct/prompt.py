"""The request for new tasks: three seeds in context, twenty tasks asked for."""

import random
from collections.abc import Iterator, Sequence
from importlib.resources import files

from camelid.llm import Request
from conversations.message import Message
from selfinstruct.seeds import Task

# Constants of github.com/tatsu-lab/stanford_alpaca, generate_instruction.py.
TASKS_A_PROMPT = 20
SEEDS_A_PROMPT = 3
TEMPERATURE = 1.0
TOP_P = 1.0
MAX_TOKENS = 3072
NO_INPUT = "<noinput>"


def requests(seeds: Sequence[Task], seed: int) -> Iterator[Request]:
    """Endless requests; number i depends on the seeds, `seed` and i alone, never on a reply."""
    number = 0
    while True:
        shown = random.Random(f"{seed}/{number}").sample(list(seeds), SEEDS_A_PROMPT)
        yield Request(
            messages=(Message("user", prompt_text(shown)),),
            temperature=TEMPERATURE,
            top_p=TOP_P,
            max_tokens=MAX_TOKENS,
            stop=(f"\n{TASKS_A_PROMPT + 1}.",),
            seed=number,
            sample=number,
        )
        number += 1


def prompt_text(shown: Sequence[Task]) -> str:
    """The message: what is wanted, then the shown tasks in numbered blocks, ending where the model goes on."""
    head = files("selfinstruct").joinpath("data/prompt.txt").read_text(encoding="utf-8").strip()
    blocks = [head.replace("{count}", str(TASKS_A_PROMPT))]
    for number, task in enumerate(shown, start=1):
        text = task.input.strip() or NO_INPUT
        instruction = " ".join(task.instruction.split()).rstrip(":")  # one line, as Alpaca does
        blocks.append(
            f"{number}. Instruction: {instruction}\n{number}. Input:\n{text}\n{number}. Output:\n{task.output}"
        )
    blocks.append(f"{len(shown) + 1}. Instruction:")
    return "\n###\n".join(blocks)
