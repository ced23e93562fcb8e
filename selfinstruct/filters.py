"""Rules that a generated task must pass, each with a reason of its own."""

import re
import string

from selfinstruct.seeds import Task

# github.com/tatsu-lab/stanford_alpaca, generate_instruction.py, post_process_gpt3_response.
MOST_WORDS = 150
FEWEST_WORDS = 4
KEYWORDS = (
    "image", "images", "graph", "graphs", "picture", "pictures", "file", "files", "map", "maps", "draw", "plot",
    "go to", "video", "audio", "music", "flowchart", "diagram",
)  # fmt: skip
_KEYWORD = re.compile(rf"\b({'|'.join(KEYWORDS)})\b", re.IGNORECASE)
_URL = re.compile(r"https?://\S+|www\.\S+")


def reason_to_drop(task: Task) -> str | None:
    """Return why a task is no good, or None. Alpaca's rules first, then our own."""
    words = len(task.instruction.split())
    if words < FEWEST_WORDS or words > MOST_WORDS:
        return "instruction too short or too long"
    if _KEYWORD.search(task.instruction):
        return "asks for what text cannot do"
    if task.instruction.startswith("Write a program"):
        return "asks for a program"
    if task.instruction[0] in string.punctuation or not task.instruction[0].isascii():
        return "instruction begins with punctuation or a non-ASCII character"
    if not task.output:
        return "output empty"
    if re.search(r"^\s*\d+\.\s*(Instruction|Output)\s*:", task.output, re.MULTILINE):
        return "two tasks run together"
    if task.input and task.input == task.output:
        return "output repeats the input"
    invented = set(_URL.findall(task.output)) - set(_URL.findall(f"{task.instruction} {task.input}"))
    return "output has a URL that was not given" if invented else None
