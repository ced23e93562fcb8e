"""Records to a folder one can publish: Parquet, Alpaca JSON, and a data card with plots."""

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from camelid.errors import UserError
from camelid.files.paths import beside, refuse_overwriting
from camelid.files.read import Record, read_json, read_jsonl
from camelid.files.write import atomic_write, write_bytes, write_json
from camelid.text.words import unicode_tokens
from selfinstruct.keep.rules import DATA
from selfinstruct.methods.table import METHODS
from selfinstruct.verb_noun import count_pairs, verb_noun

EXAMPLES = 3
# Hugging Face's size_categories, by what is below the next.
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_CHECK = "Read the terms of the teacher's provider before you publish these records or train on them."
# What is known of a teacher from its name.
_WARNINGS = (
    (
        r"^offline$",
        "The teacher is Camelid's embedded rule-based model: its tasks come from a few dozen patterns and are there "
        "to try the tools, not to train a model for use. No provider's terms apply.",
    ),
    (
        r"^(gpt|o\d|chatgpt|text-davinci)",
        f"OpenAI's terms of use restrict using output to develop models that compete with OpenAI. {_CHECK}",
    ),
    (r"^claude", f"Anthropic's terms restrict using output to train competing models. {_CHECK}"),
    (r"gemini", f"Google's terms restrict using output to develop competing models. {_CHECK}"),
    (r"llama", f"The Llama licences set conditions (naming, among others) on models trained on output. {_CHECK}"),
    (r"", f"Output of a model may be bound by its licence. {_CHECK}"),
)


def write_card(records_path: Path, folder: Path, title: str) -> int:
    """Write `README.md`, `plots/`, `data/train.parquet` and `alpaca_data.json`; return the number of records.

    Raises:
        UserError: there are no records, the ledger that `generate` writes beside them is missing, or a file of another
            origin would be replaced.
    """
    records = [record for _, record in read_jsonl(records_path)]
    ledger = beside(records_path, ".ledger.json")
    if not records:
        raise UserError(f"{records_path}: no records")
    if not ledger.exists():
        raise UserError(f"{ledger}: no such file; the card needs the ledger that `selfinstruct generate` wrote")
    readme, alpaca_data, parquet = folder / "README.md", folder / "alpaca_data.json", folder / "data" / "train.parquet"
    for path in (readme, alpaca_data, parquet):
        refuse_overwriting(path, [records_path, ledger])
    if readme.exists() and not alpaca_data.exists():
        raise UserError(f"{readme}: is there, and is no card of ours; give another --output")
    facts = read_json(ledger)
    if "model" not in facts["asked"]:
        raise UserError(f"{records_path}: is of `selfinstruct filter`; a card tells how `generate` made records")
    write_bytes(parquet, to_parquet(records))
    alpaca = [{name: record[name] for name in ("instruction", "input", "output")} for record in records]
    write_json(alpaca_data, alpaca)
    plots = _draw(records, folder / "plots")
    with atomic_write(readme) as file:
        file.write(render_card(records, facts, title, plots))
    return len(records)


def to_parquet(records: Sequence[Record]) -> bytes:
    """The records as one Parquet file; `most_similar` becomes a list of (instruction, score)."""
    import pyarrow
    from pyarrow import parquet as pq

    rows = [
        {
            **record,
            "most_similar": [{"instruction": text, "score": score} for text, score in record["most_similar"].items()],
        }
        for record in records
    ]
    buffer = io.BytesIO()
    pq.write_table(pyarrow.Table.from_pylist(rows), buffer, compression="zstd")
    return buffer.getvalue()


def render_card(records: Sequence[Record], facts: dict[str, Any], title: str, plots: dict[str, str]) -> str:
    """The data card.

    Args:
        records: what it describes.
        facts: the ledger file of the run.
        title: of the card.
        plots: file name -> description.
    """
    from jinja2 import Environment, StrictUndefined

    model = facts["asked"]["model"]
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)  # Markdown: nothing to escape
    return environment.from_string((DATA / "card.md").read_text(encoding="utf-8")).render(
        title=title,
        count=len(records),
        model=model,
        asked=facts["asked"],
        complete=facts["complete"],
        stopped=facts["stopped"],
        languages=[facts["asked"]["rules"]] if len(facts["asked"]["rules"]) == 2 else ["und"],
        size=next((name for limit, name in _SIZES if len(records) < limit), "1M<n<10M"),
        warning=next(text for pattern, text in _WARNINGS if re.search(pattern, model, re.IGNORECASE)),
        facts=_facts(facts),
        ledgers=facts["ledgers"],
        contamination=_contamination(facts),
        lengths={name: _length(records, name) for name in ("instruction", "input", "output")},
        plots=plots,
        pairs=sum(verb_noun(record["instruction"]) is not None for record in records),
        verbs=count_pairs(record["instruction"] for record in records),
        examples=_examples(records),
    )


def _facts(facts: dict[str, Any]) -> dict[str, str]:
    """The table of how it was made."""
    asked = facts["asked"]
    rows = {
        "teacher": asked["model"],
        "method": asked["method"],
        "answers": _answers(asked.get("answers"), asked["model"]),
        "format of the replies": asked["format"] if METHODS[asked["method"]].formats else None,
        "seed tasks": f"`{asked['seeds'][:12]}` (SHA-256)",
        "instruction rules": asked["rules"],
        "seed": str(asked["seed"]),
        "quality filter": "{}, at least {}".format(*asked["quality"]) if asked["quality"] else "none",
        "tokens": "; ".join(_tokens(spent) for spent in facts["spent"]),
        "cost": _cost(facts["spent"]),
        "records file": f"`{facts['sha256'][:12]}` (SHA-256)",
    }
    return {name: value for name, value in rows.items() if value}


def _answers(apart: dict[str, Any] | None, teacher: str) -> str | None:
    """Who answered how, where answers were asked for apart from the tasks."""
    if apart is None:
        return None
    best = f", the best of {apart['count']}" if apart["count"] > 1 else ""
    return f"by {apart['model'] or teacher}{best}" + (f", up to {apart['tokens']:,} tokens" if apart["tokens"] else "")


def _tokens(spent: dict[str, Any]) -> str:
    return f"{spent['prompt_tokens']:,} prompt + {spent['completion_tokens']:,} completion by {spent['model']}"


def _cost(spent: Sequence[dict[str, Any]]) -> str:
    """USD for all models together."""
    if {model["model"] for model in spent} == {"offline"}:
        return "nothing: the model is embedded"
    costs = [model["cost_usd"] for model in spent]
    return "not known: no price was given" if None in costs else f"${sum(costs):,.2f}"


def _contamination(facts: dict[str, Any]) -> dict[str, int]:
    """Records dropped for each evaluation file, none included."""
    files = facts["asked"]["decontaminate"]
    dropped = facts["ledgers"][-1]["dropped"]
    return {name: sum(count for reason, count in dropped.items() if reason.startswith(f"in {name}:")) for name in files}


def _length(records: Sequence[Record], name: str) -> dict[str, float]:
    import numpy as np

    words = np.array([len(unicode_tokens(record[name])) for record in records])
    full = words[words > 0] if (words > 0).any() else words
    return {
        "mean": float(full.mean()),
        "median": float(np.median(full)),
        "p95": float(np.percentile(full, 95)),
        "most": int(full.max()),
        "empty": int((words == 0).sum()),
    }


def _draw(records: Sequence[Record], folder: Path) -> dict[str, str]:
    """Draw the plots; return file name -> description."""
    from camelid import charts

    folder.mkdir(parents=True, exist_ok=True)
    plots = {}
    for name in ("instruction", "input", "output"):
        words = [len(unicode_tokens(record[name])) for record in records]
        filled = [count for count in words if count]
        plots[f"{name}_words"] = f"Words of each {name}" + (" (where there is one)" if len(filled) < len(words) else "")
        charts.histogram(folder / f"{name}_words", filled, plots[f"{name}_words"], "words", "records")
    nearest = [max(record["most_similar"].values(), default=0.0) for record in records]
    plots["similarity"] = "ROUGE-L with the nearest instruction before"
    charts.histogram(folder / "similarity", nearest, plots["similarity"], "ROUGE-L F-measure", "records")
    plots["verbs"] = "Verbs and their nouns"
    charts.sunburst(folder / "verbs", count_pairs(record["instruction"] for record in records), plots["verbs"])
    return plots


def _examples(records: Sequence[Record]) -> list[Record]:
    """Records from the beginning, the middle and the end, each with a fence longer than any it contains."""
    places = sorted({len(records) * part // (EXAMPLES - 1) for part in range(EXAMPLES)})
    shown = [records[min(place, len(records) - 1)] for place in places]
    examples = []
    for record in shown:
        ticks = re.findall(r"`{3,}", f"{record['instruction']}{record['input']}{record['output']}")
        examples.append({**record, "fence": "`" * (1 + max(map(len, ticks), default=2))})
    return examples
