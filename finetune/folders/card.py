"""The model card of a merged model."""

from pathlib import Path
from typing import Any

from camelid.files.read import read_text
from camelid.files.write import atomic_write
from conversations.tokens.open_tokenizer import open_tokenizer
from finetune.folders.generation_config import read_generation_config
from finetune.folders.merge import has_tokenizer


def write_merged_card(folder: Path, record: dict[str, Any]) -> None:
    """Write README.md with the hub's metadata: what was merged, how to talk to it, and how the change was trained.

    Args:
        folder: the merged model.
        record: its `made_from.json`: `base`, `base_sha256` and `change`.
    """
    facts = {"Base": f"`{record['base']}` (weights {record['base_sha256'][:12]})", "Change": f"`{record['change']}`"}
    ends = read_generation_config(folder).get("eos_token_id")
    if ends is not None and has_tokenizer(folder):
        names = open_tokenizer(folder).convert_ids_to_tokens([ends] if isinstance(ends, int) else ends)
        facts["Ends of an answer"] = ", ".join(f"`{name}`" for name in names)
    name = folder.resolve().name
    lines = ["---", f"base_model: {record['base']}", "tags: [camelid, llama, instruction-tuning]"]
    lines += ["pipeline_tag: text-generation", "library_name: transformers", "---", "", f"# {name}", ""]
    lines += [f"`{record['base']}` with `{record['change']}` merged in by Camelid.", "", "| | |", "|---|---|"]
    lines += [f"| {fact} | {value} |" for fact, value in facts.items()]
    lines += ["", "```sh", f"camelid chat {folder}", f"camelid serve {folder}", "```", ""]
    lines += ["It has not been checked for harmful, biased or wrong answers.", ""]
    trained = Path(record["change"]) / "README.md"
    if trained.is_file():
        body = read_text(trained).split("---\n", 2)[-1].strip()
        lines += ["## How the change was trained", "", body.partition("\n")[2].strip(), ""]
    with atomic_write(folder / "README.md") as file:
        file.write("\n".join(lines))
