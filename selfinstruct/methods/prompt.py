"""The request for new tasks: three seeds in context, twenty tasks asked for, in numbered text or as JSON."""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from camelid.message import Message
from camelid.models.llm import Request
from selfinstruct.methods.task_prompt import OWN_PROMPT, TaskPrompt
from selfinstruct.seeds import Task

# Constants of github.com/tatsu-lab/stanford_alpaca, generate_instruction.py.
TASKS_A_PROMPT = 20
SEEDS_A_PROMPT = 3
TEMPERATURE = 1.0
TOP_P = 1.0
MAX_TOKENS = 3072
NO_INPUT = "<noinput>"
_ENGLISH = OWN_PROMPT.rules(TASKS_A_PROMPT, "English", 0)

_TEXT = {"type": "string"}
_FIELDS = {"instruction": _TEXT, "input": _TEXT, "output": _TEXT}


def strict_object(properties: dict[str, Any]) -> dict[str, Any]:
    """A JSON schema of an object with exactly these fields, as OpenAI's strict mode wants it."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


# OpenAI's and vLLM's `response_format` for structured output.
TASKS_SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "tasks",
        "strict": True,
        "schema": strict_object({"tasks": {"type": "array", "items": strict_object(_FIELDS)}}),
    },
}


def text_request(shown: Sequence[Task], number: int, rules: str) -> Request:
    """Request `number` in the classic numbered format."""
    return _request(text_prompt(shown, rules), number, stop=(f"\n{TASKS_A_PROMPT + 1}.",))


def json_request(shown: Sequence[Task], number: int, rules: str) -> Request:
    """Request `number` for structured output."""
    return _request(json_prompt(shown, rules), number, extra={"response_format": TASKS_SCHEMA})


def _request(prompt: str, number: int, **fields: Any) -> Request:
    return Request(
        messages=(Message("user", prompt),),
        temperature=TEMPERATURE,
        top_p=TOP_P,
        max_tokens=MAX_TOKENS,
        seed=number,
        sample=number,
        **fields,
    )


def alpaca_requests(
    seeds: Sequence[Task],
    seed: int,
    make: Callable[[Sequence[Task], int, str], Request],
    language: str = "English",
    prompt: TaskPrompt = OWN_PROMPT,
) -> Iterator[Request]:
    """Endless requests; number i depends on the other arguments and i alone, never on a reply."""
    number = 0
    while True:
        shown = random.Random(f"{seed}/{number}").sample(list(seeds), SEEDS_A_PROMPT)
        yield make(shown, number, prompt.rules(TASKS_A_PROMPT, language, number))
        number += 1


def text_prompt(shown: Sequence[Task], rules: str = _ENGLISH) -> str:
    """What is wanted, then the shown tasks in numbered blocks, ending where the model goes on."""
    blocks = [f"{rules}\n\nThe list of {TASKS_A_PROMPT} tasks, in exactly this form:"]
    for number, task in enumerate(shown, start=1):
        blocks.append(
            f"{number}. Instruction: {_one_line(task.instruction)}\n"
            f"{number}. Input:\n{task.input.strip() or NO_INPUT}\n{number}. Output:\n{task.output}"
        )
    blocks.append(f"{len(shown) + 1}. Instruction:")
    return "\n###\n".join(blocks)


def json_prompt(shown: Sequence[Task], rules: str = _ENGLISH) -> str:
    """What is wanted, then the shown tasks as JSON."""
    tasks = [
        {"instruction": _one_line(task.instruction), "input": task.input.strip() or NO_INPUT, "output": task.output}
        for task in shown
    ]
    return (
        f"{rules}\n\nThe first {len(shown)} tasks of the list are\n"
        f"{json.dumps({'tasks': tasks}, ensure_ascii=False, indent=1)}\n\n"
        f"Write the other {TASKS_A_PROMPT - len(shown)} as a JSON object of the same form."
    )


def _one_line(instruction: str) -> str:
    """As Alpaca's encode_prompt writes it: white space as one blank, no colon at the end."""
    return " ".join(instruction.split()).rstrip(":")
