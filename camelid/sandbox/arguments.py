"""`--sandbox` of the commands that run programs."""

import argparse

from camelid.sandbox.table import DEFAULT, SANDBOXES


def add_sandbox_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--sandbox`."""
    parser.add_argument(
        "--sandbox",
        choices=tuple(SANDBOXES),
        default=DEFAULT,
        help=f"where programs run (default {DEFAULT}): "
        + "; ".join(f"{kind.name}: {kind.help}" for kind in SANDBOXES.values()),
    )
