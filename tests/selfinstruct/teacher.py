"""A teacher for the fake server that writes tasks of random words: as many different ones as a test wants."""

import json
import random
from typing import Any

VERBS = "Describe Compare Explain Summarize Rewrite List Classify Translate".split()
SYLLABLES = "ba co di fu ga ho ki lu me no pa ro su ta vi wo".split()


def words(count: int, rng: random.Random) -> str:
    """Words of two or three syllables out of 4,352."""
    return " ".join("".join(rng.choices(SYLLABLES, k=rng.randint(2, 3))) for _ in range(count))


def tasks(seed: int) -> list[dict[str, str]]:
    """Seventeen tasks; about one in four falls to a filter."""
    rng = random.Random(f"tasks {seed}")
    made = []
    for _ in range(17):
        instruction = f"{rng.choice(VERBS)} {words(rng.randint(5, 14), rng)}."
        output = words(rng.randint(3, 40), rng)
        fault = rng.random()
        if fault < 0.06:
            instruction = "Describe the picture of a " + words(2, rng)
        elif fault < 0.12:
            instruction = "Describe this."
        elif fault < 0.18:
            output = "https://invented.example/" + words(1, rng)
        elif fault < 0.24:
            instruction = "Explain in one sentence why the sky over the sea is blue."
        made.append({"instruction": instruction, "input": rng.choice(["<noinput>", words(4, rng)]), "output": output})
    return made


def answer(body: dict[str, Any]) -> str:
    """Structured output or numbered text, as asked."""
    made = tasks(body["seed"])
    if "response_format" in body:
        return json.dumps({"tasks": made})
    return "\n###\n".join(
        f"{number}. Instruction: {task['instruction']}\n{number}. Input:\n{task['input']}\n{number}. Output:\n"
        f"{task['output']}"
        for number, task in enumerate(made, start=4)
    ).removeprefix("4. Instruction:")
