"""`camelid finetune RECIPE`: train here, or hand over to `accelerate launch`."""

import argparse
import os
from typing import Any

import yaml

from camelid.errors import UserError
from camelid.files.paths import find_packaged
from camelid.files.read import read_text
from finetune.recipe import read_recipe


def register(rooms: Any) -> None:
    """Add the `finetune` command."""
    parser = rooms.add_parser("finetune", help="fine-tune a LLaMA from a YAML recipe")
    parser.add_argument("recipe", help="YAML file; see recipes/")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="for example optim.lr=1e-5")
    parser.add_argument("--launch", metavar="FILE", help="accelerate configuration, e.g. recipes/launch/fsdp2.yaml")
    parser.add_argument("--plan", action="store_true", help="print memory, updates, time and cost; train nothing")
    parser.add_argument("--gpu", default="H100", metavar="NAME", help="that --plan reckons with (default H100)")
    parser.add_argument("--price", type=float, metavar="USD", help="of an hour of one GPU, for --plan")
    parser.add_argument("--quiet", action="store_true", help="no progress display")
    parser.set_defaults(run=run_finetune)


def run_finetune(args: argparse.Namespace) -> int:
    """Train in this process, or in workers that it launches."""
    recipe = read_recipe(find_packaged(args.recipe), args.overrides)  # a typo is found before anything starts
    if args.plan:
        from finetune.plan import plan_report

        settings = launch_settings(str(find_packaged(args.launch))) if args.launch else {"num_processes": 1}
        sharding = recipe.run.sharding or launched_sharding(settings)
        print(plan_report(recipe, settings["num_processes"], sharding, args.gpu, args.price))
        return 0
    rest = [args.recipe, *args.overrides, *(["--quiet"] if args.quiet else [])]
    if args.launch is not None:
        launch = str(find_packaged(args.launch))
        count = launch_settings(launch)["num_processes"]
        threads = max(1, (os.cpu_count() or 1) // count)
        from finetune.parallel.launcher import launch_workers

        accelerate = ["--config_file", launch, "--num_cpu_threads_per_process", str(threads)]
        return launch_workers([*accelerate, "-m", "finetune.train", *rest, f"run.processes={count}"])
    from finetune.train import main

    return main(rest)


def launched_sharding(settings: dict[str, Any]) -> str:
    """How an accelerate configuration spreads the weights."""
    if settings.get("distributed_type") == "FSDP":
        return "fsdp2"
    stage = (settings.get("deepspeed_config") or {}).get("zero_stage", 0)
    return f"zero{stage}" if settings.get("distributed_type") == "DEEPSPEED" else "none"


def launch_settings(path: str) -> dict[str, Any]:
    """Read an accelerate configuration.

    Raises:
        UserError: it is broken, or names no number of processes.
    """
    try:
        settings = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise UserError(f"{path}: broken YAML: {error}") from None
    if not isinstance(settings, dict) or not isinstance(settings.get("num_processes"), int):
        raise UserError(
            f"{path}: no 'num_processes'; expected an accelerate configuration such as recipes/launch/cpu.yaml"
        )
    return settings
