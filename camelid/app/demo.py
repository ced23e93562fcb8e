"""`camelid demo`: the whole main job, offline, as the commands a user would type."""

import argparse
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from camelid.app.demo_preference import preference_stages, preference_table
from camelid.app.demo_stage import Stage, add_scores
from camelid.errors import UserError
from camelid.files.ledger import Ledger
from camelid.files.paths import find_packaged
from camelid.files.read import read_json
from camelid.terminal import terminal_of

WRITTEN = 2  # stages until there are instructions and conversations


def register(rooms: Any) -> None:
    """Add the `demo` command."""
    parser = rooms.add_parser("demo", help="generate, convert, train, judge: everything once, offline, in minutes")
    parser.add_argument("--output", default="demo-run", metavar="DIR", help="where all of it goes (default demo-run)")
    parser.add_argument("--records", type=int, default=480, metavar="N", help="instruction records (default 480)")
    parser.add_argument("--updates", type=int, default=300, metavar="N", help="optimizer updates (default 300)")
    parser.add_argument(
        "--preference",
        action="store_true",
        help="go on with what is preferred: judged pairs, a reward model, the best of 4 answers, DPO, PPO",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run every stage as a command of its own; what a stage has finished before, it does not do again."""
    if args.records < 1 or args.updates < 1:
        raise UserError("--records and --updates must be at least 1")
    out = Path(args.output)
    console = Console(file=terminal_of(sys.stdout))
    todo = stages(out, args.records, args.updates)
    if args.preference:
        todo = [*todo[:WRITTEN], *preference_stages(out, args.records, args.updates)]
    for number, stage in enumerate(todo, start=1):
        console.rule(f"[bold]{number}. {stage.title}", align="left")
        console.print(f"[dim]$ {shlex.join(('camelid', *stage.command))}", highlight=False, soft_wrap=True)
        status = subprocess.call([sys.executable, "-m", "camelid.app.cli", *stage.command])
        if status:
            print(f"camelid: the demo stopped at stage {number}; the same command resumes", file=sys.stderr)
            return status
    console.rule("[bold]What came out", align="left")
    console.print(preference_table(out) if args.preference else results_table(out))
    return 0


def stages(out: Path, records: int, updates: int) -> list[Stage]:
    """The demo as commands, in order."""
    questions = str(find_packaged("eval/data/demo_questions.jsonl"))
    export = str(find_packaged("conversations/data/sharegpt_sample.json"))
    recipe, launch = str(find_packaged("recipes/smoke.yaml")), str(find_packaged("recipes/launch/cpu.yaml"))
    shape = str(find_packaged("recipes/models/tiny.yaml"))
    records_file, chats_file = str(out / "instructions.jsonl"), str(out / "conversations.jsonl")
    untrained, tuned, judged = str(out / "untrained"), str(out / "tuned"), str(out / "eval")
    clean = ("--decontaminate", questions)
    generate = ("selfinstruct", "generate", "--model", "offline", "--count", str(records), *clean)
    convert = ("conversations", "convert", export, *clean)
    make = ("weights", "new", shape, untrained, "--data", records_file, chats_file, "--template", "vicuna_v1.1")
    settings = (
        f"model.path={untrained}",
        f"data.train=[{{path: {records_file}}}, {{path: {chats_file}}}]",
        f"optim.updates={updates}",
        f"run.output={tuned}",
    )
    on = ("--questions", questions, "--output", judged)
    answer = ("eval", "answer", *on, "--temperature", "0", "--max-tokens", "128")
    judge = ("eval", "judge", *on, "--model", "offline")
    return [
        Stage(
            "Write instruction data: the embedded teacher, the real generator", (*generate, "--output", records_file)
        ),
        Stage("Convert a ShareGPT export, HTML and all, to clean conversations", (*convert, "--output", chats_file)),
        Stage("Make a tokenizer and a small random LLaMA", make),
        Stage(
            "Fine-tune it: packed, loss on assistant turns only", ("finetune", recipe, "--launch", launch, *settings)
        ),
        Stage(
            "Answer held-out questions with the untrained model",
            (*answer, "--model", untrained, "--label", "untrained"),
        ),
        Stage("Answer them with the tuned model", (*answer, "--model", f"{tuned}/model", "--label", "tuned")),
        Stage("Judge both against the references", judge),
        Stage("Write the report", ("eval", "report", *on)),
    ]


def results_table(out: Path) -> Table:
    """The figures of all stages, read from what they left behind."""
    table = Table(show_header=False, box=None, padding=(0, 2))
    for name in ("instructions", "conversations"):
        for ledger in read_json(out / f"{name}.ledger.json")["ledgers"]:
            counts = Ledger.from_json(ledger)
            table.add_row(f"{name}: {counts.unit}", f"{counts.read} read, {counts.kept} kept")
            for reason, count in counts.dropped.most_common():
                table.add_row("", f"dropped {count}: {reason}")
    training = read_json(out / "tuned" / "summary.json")
    table.add_row("training", f"{training['updates']} updates, {training['tokens']:,} tokens")
    table.add_row("", f"loss {training['loss_first']:.3f} first, {training['loss_last']:.3f} last")
    table.add_row("", f"{training['tokens_per_second']:,.0f} tokens/s")
    add_scores(table, out / "eval")
    return table
