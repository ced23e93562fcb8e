"""What a run leaves to read: a summary, a plot of the loss, and a model card."""

import shlex
from pathlib import Path
from typing import Any

from camelid.charts import line_chart
from camelid.files.ledger import Ledger
from camelid.files.read import read_jsonl
from camelid.files.write import atomic_write
from finetune.folders.card import PLOT, ends_of_answer, score_lines, use_lines
from finetune.recipe import Recipe

TUNED = {
    "sft": "fine-tuned",
    "reward": "made a reward model",
    **{kind: f"tuned on preferences ({kind})" for kind in ("dpo", "kto", "orpo", "simpo")},
    "ppo": "tuned on rewards of its own answers (ppo)",
}

LOSS = {"sft": "nats per trained token", "ppo": "advantage"}  # what a loss is in, of other kinds nats per preference


def summarise_run(metrics: Path, ledgers: list[Ledger]) -> dict[str, Any]:
    """The closing facts of a run, from its metrics alone (so resumes don't change them)."""
    records = [record for _, record in read_jsonl(metrics)]
    trained = [record for record in records if not record["skipped"]] or records
    validated = [record for record in records if record["validation_loss"] is not None]
    seconds = sum(record["seconds"] for record in records)
    best = min(validated, key=lambda record: float(record["validation_loss"]), default=None)
    left_out = records[-1]["update"] - len(records)  # by --rewind N --skip M
    return {
        "updates": len(records),
        **({"left_out_updates": left_out} if left_out else {}),
        "skipped_updates": sum(record["skipped"] for record in records),
        "loss_first": trained[0]["loss"],
        "loss_last": trained[-1]["loss"],
        "validation_loss_last": validated[-1]["validation_loss"] if validated else None,
        "validation_loss_best": best["validation_loss"] if best else None,
        "best_update": best["update"] if best else None,
        "tokens": records[-1]["total_tokens"],
        "trained_tokens": sum(record["trained_tokens"] for record in records),
        "seconds": round(seconds, 1),
        "tokens_per_second": round(records[-1]["total_tokens"] / seconds, 1),
        "ledgers": [ledger.to_json() for ledger in ledgers],
    }


def summary_line(summary: dict[str, Any], output: Path) -> str:
    """The summary in one line."""
    validation, skipped = summary["validation_loss_last"], summary["skipped_updates"]
    return (
        f"{output}: {summary['updates']:,} updates{f' ({skipped:,} skipped)' if skipped else ''}, "
        f"loss {summary['loss_first']:.3f} to {summary['loss_last']:.3f}"
        f"{f', {validation:.3f} held out' if validation is not None else ''}, {summary['tokens']:,} tokens in "
        f"{summary['seconds']:,.0f} s ({summary['tokens_per_second']:,.0f} tok/s)"
    )


def plot_loss(metrics: Path, path: Path, recipe: Recipe) -> None:
    """Draw the loss over the updates, training and validation."""
    records = [record for _, record in read_jsonl(metrics)]
    curves = {"training": [(record["update"], record["loss"]) for record in records if record["loss"] is not None]}
    validated = [(record["update"], record["validation_loss"]) for record in records if record["validation_loss"]]
    if validated:
        curves["validation"] = validated
    line_chart(path, curves, "Loss", "update", LOSS.get(recipe.kind, "nats per preference"))


def _template(recipe: Recipe) -> str:
    return f"`{recipe.data.template}`" if recipe.data.template else "none (raw text)"


def _what_of(recipe: Recipe) -> str:
    """What is trained of each form of source, in brackets."""
    if recipe.kind != "sft":
        return " (its own answers)" if recipe.kind == "ppo" else " (the last answers only)"
    forms = {source.form for source in recipe.data.train}
    words = {"chat": "assistant turns", "text": "all of a text", "infill": "all of a text, with holes to fill"}
    trained = [what for form, what in words.items() if form in forms]
    return f" ({', '.join(trained)}{' only' if trained == ['assistant turns'] else ''})"


def _chat_options(recipe: Recipe) -> tuple[str, ...] | None:
    """With which options `camelid chat` talks to the model; None if it can't."""
    if recipe.data.template:
        return ()
    return ("--infill",) if any(source.form == "infill" for source in recipe.data.train) else None


def write_model_card(folder: Path, final: Path, recipe: Recipe, summary: dict[str, Any]) -> None:
    """Write the model card (README.md with the hub's metadata) into the folder of a model or adapter.

    Args:
        folder: where model or adapter, tokenizer and plot of the loss are by now.
        final: where they will be.
        recipe: of the run.
        summary: of the run.
    """
    adapter = recipe.adapter.kind != "none"
    base, optim = recipe.model.path, recipe.optim
    task = "text-classification" if recipe.kind == "reward" else "text-generation"
    head = ["---", f"base_model: {base}", "tags: [camelid, llama, instruction-tuning]", f"pipeline_tag: {task}"]
    head += ["library_name: peft" if adapter else "library_name: transformers", "---", ""]
    what = f"A {recipe.adapter.kind} adapter for `{base}`" if adapter else f"`{base}`, {TUNED[recipe.kind]}"
    validation = summary["validation_loss_last"]
    facts = {
        "Data": ", ".join(f"`{source.path}` (weight {source.weight:g})" for source in recipe.data.train),
        "Template": f"{_template(recipe)}, at most {recipe.data.max_length} tokens",
        "Trained on": f"{summary['tokens']:,} tokens, {summary['trained_tokens']:,} of them with a loss"
        f"{_what_of(recipe)}",
        "Updates": f"{summary['updates']:,} of {optim.global_batch} sequences, {summary['skipped_updates']} skipped",
        "Optimizer": f"{optim.optimizer}, peak learning rate {optim.lr:g}, {optim.schedule}"
        + (f" to {optim.final_lr:g} of it" if optim.final_lr else "")
        + f", weight decay {optim.weight_decay:g}",
        "Precision": recipe.run.precision,
        "Loss": f"{summary['loss_first']:.4f} first, {summary['loss_last']:.4f} last"
        + (f", {validation:.4f} held out" if validation is not None else ""),
    }
    if adapter:
        facts["Adapter"] = (
            f"rank {recipe.adapter.rank}, alpha {recipe.adapter.alpha:g}, on {', '.join(recipe.adapter.targets)}"
        )
    facts |= ends_of_answer(folder)
    body = [f"# {final.resolve().parent.name}", "", f"{what} with Camelid.", "", "| | |", "|---|---|"]
    body += [f"| {name} | {value} |" for name, value in facts.items()]
    merged = final.with_name("model")
    merge = shlex.join(["camelid", "weights", "merge", base, str(final), str(merged)]) if adapter else ""
    use = score_lines(final) if recipe.kind == "reward" else use_lines(merged, merge, _chat_options(recipe))
    body += ["", f"![Loss over the updates]({PLOT})", "", *use]
    with atomic_write(folder / "README.md") as file:
        file.write("\n".join([*head, *body]))
