"""`camelid finetune RECIPE`: train here, or hand over to `accelerate launch`."""

import argparse
import os
from typing import Any

from camelid.errors import UserError
from camelid.files.paths import find_packaged
from finetune.layout import Layout, check, planned_layout, read_launch_file
from finetune.packages import require_packages
from finetune.recipe import Recipe, read_recipe


def register(rooms: Any) -> None:
    """Add the `finetune` command."""
    parser = rooms.add_parser(
        "finetune",
        help="fine-tune a LLaMA from a YAML recipe",
        epilog="Also: `camelid finetune tokens` (texts to token shards), `camelid finetune perplexity` (of a model), "
        "`camelid finetune score` (answers, by reward models), `camelid finetune retrieval` (of a key in long "
        "prompts), `camelid finetune fill` (holes in code).",
    )
    parser.add_argument("recipe", help="YAML file; see recipes/")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="for example optim.lr=1e-5")
    parser.add_argument("--launch", metavar="FILE", help="accelerate configuration, e.g. recipes/launch/fsdp2.yaml")
    parser.add_argument("--plan", action="store_true", help="print memory, updates, time and cost; train nothing")
    parser.add_argument("--gpu", default="H100", metavar="NAME", help="that --plan reckons with (default H100)")
    parser.add_argument("--price", type=float, metavar="USD", help="of an hour of one GPU, for --plan")
    parser.add_argument("--quiet", action="store_true", help="no progress display")
    parser.add_argument("--rewind", type=int, metavar="N", help="take the run back N updates before it goes on")
    parser.add_argument("--skip", type=int, default=0, metavar="M", help="with --rewind: leave out the next M updates")
    parser.set_defaults(run=run_finetune)


def run_finetune(args: argparse.Namespace) -> int:
    """Train in this process, or in workers that it launches."""
    launch = str(find_packaged(args.launch)) if args.launch else None
    overrides = list(args.overrides)
    if launch is not None:
        overrides.append(f"run.processes={read_launch_file(launch).processes}")
    recipe = read_recipe(find_packaged(args.recipe), overrides)  # a typo is found before anything starts
    layout = planned_layout(recipe.run, launch)
    if args.plan:
        print(_plan(recipe, layout, args.gpu, args.price))
        return 0
    rest = [args.recipe, *overrides, *(["--quiet"] if args.quiet else [])]
    if launch is not None:
        check(recipe, layout)
    if args.rewind is not None and recipe.kind == "ppo":
        raise UserError("--rewind: what kind: ppo trains on depends on all updates before; none can be left out")
    if args.rewind is not None:
        _rewind(recipe, args.rewind, args.skip)
    elif args.skip:
        raise UserError(f"--skip {args.skip}: goes with --rewind N, the updates to take back first")
    if launch is not None:
        require_packages(recipe, deepspeed=layout.sharding.startswith("zero"))
        from finetune.parallel.launcher import launch_workers

        accelerate = ["--config_file", launch, "--num_cpu_threads_per_process", str(_threads(layout))]
        return launch_workers([*accelerate, "-m", "finetune.train", *rest])
    from finetune.train import main

    return main(rest)


def _threads(layout: Layout) -> int:
    """Threads that each worker computes with: as many as the user tells OpenMP, or its share of the machine's cores."""
    told = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]  # of nested regions, that of the outer one
    return int(told) if told.isdigit() else max(1, (os.cpu_count() or 1) * layout.machines // layout.processes)


def _plan(recipe: Recipe, layout: Layout, gpu: str, price: float | None) -> str:
    if recipe.kind == "ppo":
        from finetune.ppo.plan import ppo_plan_report

        return ppo_plan_report(recipe, layout, gpu, price)
    from finetune.plan import plan_report

    return plan_report(recipe, layout, gpu, price)


def _rewind(recipe: Recipe, back: int, skip: int) -> None:
    from finetune.engine.rewind import rewind_run

    rewind = rewind_run(recipe, back, skip)
    without = f" without updates {rewind.went_to + 1} to {rewind.went_to + skip}" if skip else ""
    print(f"{recipe.run.output}: taken back from update {rewind.stood_at} to {rewind.went_to}, goes on{without}")
