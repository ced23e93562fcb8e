"""`camelid finetune fill`: the holes of a file of infilling tasks, filled by a model folder."""

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from camelid.errors import UserError

if TYPE_CHECKING:
    from camelid.files.read import Record
    from finetune.serve.served import ServedModel

BATCH = 32  # holes filled together


class Hole(NamedTuple):
    """A task of the shape of human-eval-infilling (Bavarian et al. 2022): `task_id`, `prompt`, `suffix`."""

    task_id: str
    prefix: str
    suffix: str


def register(rooms: Any) -> None:
    """Add the command; its name is two words, and `camelid finetune --help` names it."""
    parser = rooms.add_parser("finetune fill", description="fill the holes of infilling tasks, to be scored by eval")
    parser.add_argument("model", help="model folder that can fill holes")
    parser.add_argument("tasks", metavar="FILE", help="records with task_id, prompt and suffix (HumanEval infilling)")
    parser.add_argument("--output", required=True, metavar="FILE", help="lines of task_id and completion")
    parser.add_argument("--samples", type=int, default=1, metavar="N", help="middles of each hole (default 1)")
    parser.add_argument("--temperature", type=float, default=0.0, help="default 0, the likeliest tokens")
    parser.add_argument("--top-p", type=float, default=1.0, help="nucleus sampling mass (default 1)")
    parser.add_argument("--max-tokens", type=int, default=256, metavar="N", help="of one middle (default 256)")
    parser.add_argument("--seed", type=int, default=0, help="default 0")
    parser.add_argument("--quiet", action="store_true", help="no progress display")
    parser.set_defaults(run=run_fill)


def run_fill(args: argparse.Namespace) -> int:
    """Write one line for each middle; a hole that leaves no room for one is filled with nothing, and counted."""
    if args.samples < 1 or args.max_tokens < 1:
        raise UserError("--samples and --max-tokens must be at least 1")
    if args.temperature < 0 or not 0 < args.top_p <= 1:
        raise UserError("--temperature must be at least 0, --top-p above 0 and at most 1")
    if args.samples > 1 and args.temperature == 0:
        raise UserError("--samples: more than one would all be the same; give a --temperature above 0")
    from camelid.files.records import read_records
    from camelid.files.write import write_jsonl
    from finetune.serve.served import open_served

    holes = [_read(record, place) for place, record in read_records(args.tasks)]
    written = write_jsonl(args.output, _filled(open_served(args.model), holes, args))
    print(f"{args.output}: {written:,} middles of {len(holes):,} holes")
    return 0


def _read(record: "Record", place: str) -> Hole:
    values = [record.get(name) for name in ("task_id", "prompt", "suffix")]
    for name, value in zip(("task_id", "prompt", "suffix"), values, strict=True):
        if not isinstance(value, str):
            raise UserError(f"{place}: field {name!r} must be text, found {repr(value)[:60]}; not an infilling task")
    return Hole(*map(str, values))


def _filled(served: "ServedModel", holes: list[Hole], args: argparse.Namespace) -> Iterator["Record"]:
    """The middles, in the order of the tasks."""
    import sys

    from camelid.progress import Progress
    from finetune.generate.decode import generate
    from finetune.generate.sampling import Sampling

    if isinstance(served.infill, UserError):
        raise served.infill
    sampling = Sampling(args.max_tokens, args.temperature, args.top_p, after=served.anchor)
    without_room = 0
    with Progress("fill", len(holes), args.quiet) as bar:
        for start in range(0, len(holes), BATCH):
            batch = holes[start : start + BATCH]
            prompts = [served.infill.prompt(hole.prefix, hole.suffix) for hole in batch]
            fits = [len(prompt) < served.model.config.context for prompt in prompts]
            asked = [prompt for prompt, fit in zip(prompts, fits, strict=True) for _ in range(args.samples) if fit]
            seeds = [args.seed + number % args.samples for number in range(len(asked))]
            answers = iter(generate(served.model, asked, seeds, served.tokenizer, served.end_ids, sampling))
            for hole, fit in zip(batch, fits, strict=True):
                without_room += not fit
                for _ in range(args.samples):
                    yield {"task_id": hole.task_id, "completion": next(answers).text if fit else ""}
            bar.update(start + len(batch))
    if without_room:
        context = served.model.config.context
        print(f"camelid: warning: {without_room} holes left empty: longer than {context} tokens", file=sys.stderr)
