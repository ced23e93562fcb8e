"""What model cards say of a folder, and the card of a merged model."""

import shlex
import shutil
from pathlib import Path
from typing import Any

from camelid.files.read import read_text
from camelid.files.write import atomic_write
from conversations.tokens.open_tokenizer import open_tokenizer
from finetune.folders.generation_config import end_ids_of_folder
from finetune.folders.merge import has_tokenizer

PLOT = "loss.png"  # beside the card of what was trained: hubs show it, and no SVG
USE = "## Use"


def ends_of_answer(folder: Path) -> dict[str, str]:
    """The card's line on the tokens that end an answer, empty where the folder does not say."""
    ends = end_ids_of_folder(folder)
    if not ends or not has_tokenizer(folder):
        return {}
    names = open_tokenizer(folder).convert_ids_to_tokens(ends)
    return {"Ends of an answer": ", ".join(f"`{name}`" for name in names)}


def use_lines(model: Path, before: str = "") -> list[str]:
    """The card's end: how to talk to a model.

    Args:
        model: where it is, or will be after `before`.
        before: a command that makes it.
    """
    talk = [shlex.join(["camelid", verb, str(model)]) for verb in ("chat", "serve")]
    commands = [before, *talk] if before else talk
    checked = "It has not been checked for harmful, biased or wrong answers."
    return [USE, "", "```sh", *commands, "```", "", checked, ""]


def score_lines(model: Path) -> list[str]:
    """The end of a reward model's card: how to score with it."""
    command = shlex.join(["camelid", "finetune", "score", "CANDIDATES.jsonl", "--reward", f"quality={model}"])
    says = "`AutoModelForSequenceClassification` of transformers reads the same scores, padded left or right."
    return [USE, "", "```sh", command, "```", "", says, ""]


def write_merged_card(folder: Path, record: dict[str, Any]) -> None:
    """Write README.md with the hub's metadata: what was merged, how to talk to it, and how the change was trained.

    Args:
        folder: the merged model.
        record: its `made_from.json`: `base`, `base_sha256` and `change`.
    """
    facts = {"Base": f"`{record['base']}` (weights {record['base_sha256'][:12]})", "Change": f"`{record['change']}`"}
    facts |= ends_of_answer(folder)
    lines = ["---", f"base_model: {record['base']}", "tags: [camelid, llama, instruction-tuning]"]
    lines += ["pipeline_tag: text-generation", "library_name: transformers", "---", ""]
    lines += [f"# {folder.resolve().name}", ""]
    lines += [f"`{record['base']}` with `{record['change']}` merged in by Camelid.", "", "| | |", "|---|---|"]
    lines += [f"| {fact} | {value} |" for fact, value in facts.items()]
    lines += ["", *use_lines(folder)]
    change = Path(record["change"])
    if (change / "README.md").is_file():
        body = read_text(change / "README.md").split("---\n", 2)[-1].strip()
        trained = body.partition("\n")[2].partition(f"\n{USE}\n")[0]  # without its name and its own use
        lines += ["## How the change was trained", "", trained.strip(), ""]
        if (change / PLOT).is_file():
            shutil.copy2(change / PLOT, folder)
    with atomic_write(folder / "README.md") as file:
        file.write("\n".join(lines))
