"""A small world in which the commands of the documentation run as they are written: same names, toy sizes."""

import json
import os
import re
import shutil
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from camelid.app.cli import main
from camelid.files.read import read_jsonl
from camelid.files.write import write_jsonl
from tests.selfinstruct import teacher

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
SHAPE = {
    "vocab_size": 500,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 2048,
}
RECIPES = (".", "code", "toy", "llama2-chat")
# A launch file says how many processes on what; here it is one on the CPU.
LAUNCH = (ROOT / "recipes" / "launch" / "cpu.yaml").read_text()
# What a template's tokenizer needs its control tokens for; all others make do with LLaMA's.
TEMPLATE_OF = {"llama-3": "llama-3"}

# Shell functions in front of a page's blocks. A server goes on in the background, as in another terminal; installing
# finds that the extra exists. A failing command ends the page and names its block.
PRELUDE = """
set -eEuo pipefail
AT="the beginning"
trap 'echo "failed: $AT: $BASH_COMMAND" >&2' ERR
trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT
camelid() {
    if [ "$1" != serve ]; then command camelid "$@"; return; fi
    command camelid "$@" > serve.log 2>&1 &
    local server=$!
    until grep -q '^serving' serve.log; do kill -0 "$server" || { cat serve.log >&2; return 1; }; sleep 0.2; done
}
pip() { python toy_pip.py "$@"; }
"""
PIP = """import sys
EXTRAS = {extras}
for argument in sys.argv[2:]:
    name, _, extras = argument.partition("[")
    if name == "camelid" and not set(extras.rstrip("]").split(",")) <= EXTRAS | {{""}}:
        sys.exit(f"pip {{argument}}: no such extra")
"""


def build(folder: Path, pages: Sequence[str]) -> None:
    """Make the world in an empty folder.

    Args:
        folder: where.
        pages: the texts that will be executed; models and recipes that they name will be there.
    """
    copy_recipes(folder)
    make_data(folder)
    texts = [*pages, *(path.read_text() for path in (folder / "recipes").glob("*.yaml"))]
    make_models(folder, {name for text in texts for name in re.findall(r"\bmodels/([a-z][\w.-]*\w)(?!\.yaml)", text)})
    extras = re.findall(r"^(\w+) = \[", section(ROOT / "pyproject.toml", "project.optional-dependencies"), re.MULTILINE)
    (folder / "toy_pip.py").write_text(PIP.format(extras=set(extras)))


def section(path: Path, name: str) -> str:
    """The text of one table of a TOML file."""
    return path.read_text().split(f"[{name}]\n")[1].split("\n[")[0]


def copy_recipes(folder: Path) -> None:
    """The recipes with a few short updates, the launch files with one process."""
    (folder / "recipes" / "launch").mkdir(parents=True)
    (folder / "recipes" / "models").mkdir()
    for path in (ROOT / "recipes" / "launch").glob("*.yaml"):
        (folder / "recipes" / "launch" / path.name).write_text(LAUNCH)
    for path in (ROOT / "recipes" / "models").glob("*.yaml"):
        (folder / "recipes" / "models" / path.name).write_text(yaml.safe_dump(SHAPE))
    for name in RECIPES:
        (folder / "recipes" / name).mkdir(exist_ok=True)
    for path in (path for name in RECIPES for path in (ROOT / "recipes" / name).glob("*.yaml")):
        tree = yaml.safe_load(path.read_text())
        tree["optim"] |= {"updates": 2, "global_batch": 4, "micro_tokens": 1024}
        tree["data"]["max_length"] = 512
        if tree["data"].get("validation"):
            tree["data"]["validation"] = 0.25  # a hundredth of a few documents is none
        if tree.get("adapter", {}).get("kind") == "qlora":
            tree["adapter"]["kind"] = "lora"  # four bits need a GPU
        (folder / path.relative_to(ROOT)).write_text(yaml.safe_dump(tree))


def make_data(folder: Path) -> None:
    """Exports, conversations, records and questions under the names that pages and recipes use."""
    sample = ROOT / "conversations" / "data" / "sharegpt_sample.json"
    export = json.loads(sample.read_text())
    for name in ("sharegpt_export.json", "export.json", "export-1.jsonl"):
        rows = (json.dumps(row) + "\n" for row in export)
        (folder / name).write_text("".join(rows) if name.endswith("l") else json.dumps(export))
    chats = folder / "chats.jsonl"
    assert main(["conversations", "convert", str(sample), "--output", str(chats), "--quiet"]) == 0
    records = [{key: task[key] for key in task} for seed in range(4) for task in teacher.tasks(seed)]
    for task in records:
        task["input"] = task["input"].replace("<noinput>", "")
    for name in ("data", "demo-run"):
        (folder / name).mkdir()
        write_jsonl(folder / name / "instructions.jsonl", records)
        for conversations in ("sharegpt.jsonl", "conversations.jsonl"):
            shutil.copy(chats, folder / name / conversations)
    shutil.copy(chats, folder / "more.jsonl")
    shutil.copy(chats, folder / "data" / "code-instructions.jsonl")
    code = [{"text": path.read_text()} for path in sorted((ROOT / "camelid").glob("*.py"))]
    for name in ("code", "about-code", "python", "text"):
        write_jsonl(folder / "data" / f"{name}.jsonl", code)
    for name in ("corpus/papers", "corpus/general", "held-out", "toy-pretrain/texts"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for page in (ROOT / "docs").glob("*.md"):
            (folder / name / f"{page.stem}.txt").write_text(page.read_text())
    (folder / "alpaca_data.json").write_text(json.dumps(records))
    make_preferences(folder, records[:24])
    (folder / "eval" / "data").mkdir(parents=True)
    for path in (ROOT / "eval" / "data").glob("*questions*.jsonl"):
        write_jsonl(folder / "eval" / "data" / path.name, [record for _, record in islice(read_jsonl(path), 3)])


def make_preferences(folder: Path, records: Sequence[dict[str, str]]) -> None:
    """Comparisons as Anthropic publishes them, in which half an answer lost to the whole one, and prompts to answer."""
    for name in ("hh-helpful", "hh-harmless"):
        rows = []
        for record in records:
            words = record["output"].split()
            start = f"\n\nHuman: {record['instruction']} {record['input']}\n\nAssistant: "
            rows.append({"chosen": start + " ".join(words), "rejected": start + " ".join(words[: len(words) // 2 + 1])})
        write_jsonl(folder / f"{name}.jsonl", rows)
    for name, count in (("prompts", 3), ("adversarial", 6)):
        asked = ({"role": "user", "content": record["instruction"]} for record in records[:count])
        write_jsonl(
            folder / "data" / f"{name}.jsonl", ({"id": str(at), "prompt": [one]} for at, one in enumerate(asked))
        )


def make_models(folder: Path, names: set[str]) -> None:
    """Random models with a tokenizer of their own, for the demo's folders, too."""
    new = ["weights", "new", str(folder / "recipes" / "models" / "tiny.yaml")]
    for template in ("vicuna_v1.1", *TEMPLATE_OF.values()):
        made = folder / "made" / template
        assert main([*new, str(made), "--data", str(folder / "chats.jsonl"), "--template", template]) == 0
    for name in names:
        prefix = next((start for start in TEMPLATE_OF if name.startswith(start)), None)
        template = TEMPLATE_OF[prefix] if prefix else "vicuna_v1.1"
        shutil.copytree(folder / "made" / template, folder / "models" / name)
    for place in ("untrained", "tuned/model"):
        shutil.copytree(folder / "made" / "vicuna_v1.1", folder / "demo-run" / place)
    shutil.rmtree(folder / "made")


def finish_runs(folder: Path, page: str) -> None:
    """The tuned models that a page takes from another page's training."""
    for name in set(re.findall(r"\bruns/([\w.-]+)/model\b", page)):
        if not re.search(
            rf"(?:finetune|finetune\.train) recipes/{name}\.yaml|(?:run\.output=|output: )runs/{name}\b", page
        ):
            shutil.copytree(folder / "demo-run" / "untrained", folder / "runs" / name / "model")


def reply(body: dict[str, Any]) -> str:
    """A model for everything: judge, teacher by each method, contestant."""
    text = "\n".join(message["content"] for message in body["messages"])
    for asked, verdict in (
        ("Rating: [[N]]", "Right, but short.\n\nRating: [[7]]"),
        ("[[A]]", "Both are right, the first says more.\n\n[[A]]"),
        ("Your first line holds only the two grades", "7 6\nThe first says more."),
        ("Reply with one letter", "m"),
        ("Score: [[4]]", "Nothing is wrong.\nScore: [[5]]"),
        ("from 1 to 6? Reply with the number alone", "5"),
    ):
        if asked in text:
            return verdict
    return teacher.answer(body) if "Instruction:" in text or "response_format" in body else "A short answer."


def environment(folder: Path, url: str) -> dict[str, str]:
    """What the commands find: this checkout's programs, a server, a key; no terminal and no network."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CAMELID", "OPENAI", "HF_"))}
    return {
        **kept,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "HOME": str(folder),
        "OPENAI_API_KEY": "toy",
        "OPENAI_BASE_URL": url,
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "ACCELERATE_USE_CPU": "true",
    }
