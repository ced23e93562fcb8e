"""`camelid finetune score`: what reward models say of answers."""

import argparse
from pathlib import Path
from typing import Any


def register(rooms: Any) -> None:
    """Add the `finetune score` command."""
    parser = rooms.add_parser("finetune score", description="score answers with reward models")
    parser.add_argument("file", help="candidates (`selfinstruct sample`) or preferences, JSON Lines")
    parser.add_argument(
        "--reward",
        action="append",
        required=True,
        metavar="NAME=DIR",
        help="model folder of a reward model, and what its scores are called; several may be given",
    )
    parser.add_argument("--output", metavar="FILE", help="the same with scores (default: FILE itself)")
    parser.add_argument(
        "--report", metavar="PAGE", help="of preferences: a page of accuracy by grade and of calibration (.html)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress display")
    parser.set_defaults(run=run_score)


def run_score(args: argparse.Namespace) -> int:
    """Score the file, and say how good the reward models are where it holds preferences."""
    from finetune.preference.reward_report import write_reward_report
    from finetune.preference.score_file import parse_rewards, score_file

    rewards, path = parse_rewards(args.reward), Path(args.file)
    output = Path(args.output) if args.output else path
    scored = score_file(path, output, rewards, args.quiet)
    for name, ledger in scored.ledgers.items():
        print(f"{name}: {ledger.summary()}")
    if args.report:
        for line in write_reward_report(Path(args.report), path, scored, rewards):
            print(line)
    print(f"{output}: {len(scored.records):,} records with scores")
    return 0
