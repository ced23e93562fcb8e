"""`camelid selfinstruct sample|ghost|distill`: several answers to each prompt, as candidates."""

import argparse
import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camelid.errors import UserError
from camelid.files.lock import exclusive_lock
from camelid.files.read import file_hash
from camelid.models.model_run import ModelRun, OpenModel
from selfinstruct.run_files import RunFiles

if TYPE_CHECKING:
    from conversations.prompts import PromptToAnswer
    from selfinstruct.sampling.sampler import Sampler, SamplingTask

ANSWERS = 4  # ours: LLaMA-2's authors publish no number, and curves up to 100 (section 3.2.3, figure 7)
# Ours; the best of 10 to 100 was found at 1.2 to 1.3 (section 3.2.3, figure 8).
TEMPERATURE = 1.0

AddModelArguments = Callable[[argparse.ArgumentParser], None]


def register_sampling(verbs: Any, open_model: OpenModel, add_model_arguments: AddModelArguments) -> None:
    """Add the verbs to the `selfinstruct` command."""
    for name, about, asks, more in (
        ("sample", "several answers to each prompt, as candidates to score and select", "prompts", None),
        ("ghost", "the same under an instruction for the whole chat (Ghost Attention)", "chats", "--constraints"),
        (
            "distill",
            "the same, plainly and behind a safety preprompt (context distillation)",
            "prompts",
            "--preprompts",
        ),
    ):
        parser = verbs.add_parser(name, help=about)
        parser.add_argument("prompts", metavar="FILE", help=f"the {asks}: chats, questions, preferences or candidates")
        parser.add_argument("--output", required=True, metavar="FILE", help="the candidates, JSON Lines")
        parser.add_argument(
            "--answers", type=int, default=ANSWERS, metavar="K", help=f"to each prompt (default {ANSWERS})"
        )
        parser.add_argument(
            "--temperatures",
            type=float,
            nargs="+",
            metavar="T",
            help=f"of the answers in turn, instead of one --temperature for all (default {TEMPERATURE:g})",
        )
        if more:
            parser.add_argument(more, metavar="FILE", help=f"YAML (default: our own, selfinstruct/data/{_OWN[name]})")
        if name == "ghost":
            kept = "leave the chats' earlier answers as they are, as the paper (default: sample them, too)"
            parser.add_argument("--keep-answers", action="store_true", help=kept)
        parser.add_argument("--seed", type=int, default=0, help="of the sampling (default 0)")
        parser.add_argument("--quiet", action="store_true", help="no progress display")
        add_model_arguments(parser)
        parser.set_defaults(run=lambda args, verb=name: run_sampling(args, open_model, verb))


_OWN = {"ghost": "ghost.yaml", "distill": "preprompts.yaml"}


def run_sampling(args: argparse.Namespace, open_model: OpenModel, verb: str) -> int:
    """Sample, or say that it has been done; the journal answers whatever was asked before."""
    if args.answers < 1:
        raise UserError("--answers must be at least 1")
    if args.temperatures and args.temperature is not None:
        raise UserError("--temperature, --temperatures: give one of them")
    if any(not 0 <= one < float("inf") for one in args.temperatures or ()):
        raise UserError("--temperatures must be at least 0")
    files = RunFiles(Path(args.output))
    files.check(filter(None, (args.prompts, _own_file(args))))
    with exclusive_lock(files.lock):
        return _run(args, open_model, files, verb)


def _own_file(args: argparse.Namespace) -> str | None:
    """The user's own constraints or preprompts."""
    given: str | None = getattr(args, "constraints", None) or getattr(args, "preprompts", None)
    return given


def _run(args: argparse.Namespace, open_model: OpenModel, files: RunFiles, verb: str) -> int:
    from camelid.progress import Progress
    from conversations.prompts import read_prompts
    from selfinstruct.sampling.sampler import Sampler

    tasks = list(_tasks(args, read_prompts(args.prompts), verb))
    model = open_model(args, files.journal)
    asked = _asked(args, model.name, verb, tasks)
    if files.is_finished(asked):
        print(f"{files.output}: already made")
        return 0
    with model, Progress(verb, len(tasks), args.quiet) as bar:
        sampler = Sampler(model, args.answers, args.temperatures or [TEMPERATURE], seed=args.seed)
        anew = verb == "ghost" and not args.keep_answers
        count = model.run(_write(sampler, tasks, anew, files.output, bar))
    return _finish(sampler, model, files, asked, count)


def _tasks(args: argparse.Namespace, prompts: "Iterable[PromptToAnswer]", verb: str) -> "Iterator[SamplingTask]":
    if verb == "ghost":
        from selfinstruct.sampling.ghost import ghost_tasks, read_constraints

        return ghost_tasks(prompts, read_constraints(args.constraints), args.seed)
    if verb == "distill":
        from selfinstruct.sampling.distill import distill_tasks, read_preprompts

        return distill_tasks(prompts, read_preprompts(args.preprompts), args.seed)
    from selfinstruct.sampling.sampler import plain_tasks

    return plain_tasks(prompts)


async def _write(sampler: "Sampler", tasks: "list[SamplingTask]", anew: bool, output: Path, bar: Any) -> int:
    """Write the candidates as they come, into a file that appears when it is whole; return how many there are.

    Args:
        anew: the model gives the chats' earlier answers first.
    """
    from camelid.files.write import atomic_write, dumps

    count = 0
    with atomic_write(output) as file:
        tasks = await sampler.answer_anew(tasks) if anew else tasks
        async with aclosing(sampler.run(tasks, bar)) as found:
            async for candidates in found:
                file.write(dumps(candidates.to_json()) + "\n")
                count += 1
    return count


def _finish(sampler: "Sampler", model: ModelRun, files: RunFiles, asked: dict[str, object], count: int) -> int:
    """Explain what was written, and return the exit status."""
    from camelid.files.ledger import write_ledgers

    stopped = f"{sampler.fatal.kind}: {sampler.fatal.detail}" if sampler.fatal else None
    ledgers = [
        one for one in (sampler.earlier, sampler.prompts, sampler.counts) if one.read or one is not sampler.earlier
    ]
    write_ledgers(
        files.ledger,
        ledgers,
        asked=asked,
        complete=stopped is None,
        stopped=stopped,
        sha256=file_hash(files.output),
        spent=[model.to_json()],
    )
    for ledger in ledgers:
        print(ledger.summary())
    print(f"{files.output}: {count} prompts with candidates")
    print(f"{model.name}: {model.summary()}")
    if stopped:
        print(f"camelid: stopped with {count} prompts: {stopped}", file=sys.stderr)
    return 1 if stopped or not count else 0


def _asked(args: argparse.Namespace, model: str, verb: str, tasks: "list[SamplingTask]") -> dict[str, object]:
    """What the candidates follow from; a finished run with the same is not run again."""
    from dataclasses import asdict

    from camelid.files.write import dumps
    from camelid.models.request_options import read_request_options

    prompts = hashlib.sha256()
    for task in tasks:
        told = [
            [message.to_json() for message in messages]
            for messages in (task.prompt, *(one.messages for one in task.asked))
        ]
        prompts.update(dumps([task.id, told, task.meta]).encode())
    return {
        "model": model,
        "method": verb,
        "prompts": prompts.hexdigest(),
        "answers": args.answers,
        "temperatures": args.temperatures,
        "seed": args.seed,
        **({"keep_answers": args.keep_answers} if verb == "ghost" else {}),
        **{name: value for name, value in asdict(read_request_options(args)).items() if value is not None},
    }
