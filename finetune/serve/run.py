"""Starts the server of models trained here."""

import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from camelid.long_lived import spare_long_lived
from finetune.serve.access import Access
from finetune.serve.app import make_app
from finetune.serve.engine import ServerLimits
from finetune.serve.listen import Listening, run_app
from finetune.serve.served import ServedModel
from finetune.serve.votes import RateVotes

SWITCH_INTERVAL = 0.0005  # seconds; with Python's 0.005 the model's thread waits that long after each tensor operation


def run_server(
    served: Sequence[ServedModel],
    limits: ServerLimits,
    access: Access,
    listening: Listening,
    votes: Path,
    rate_votes: RateVotes,
    lora_folder: Path | None = None,
) -> int:
    """Serve until Ctrl-C or a termination signal.

    Raises:
        UserError: the address, or the certificate, can't be used.
    """
    sys.setswitchinterval(SWITCH_INTERVAL)
    torch.set_num_threads(max(1, torch.get_num_threads() - 1))  # one core is left for the clients
    app = make_app(served, limits, access, votes, rate_votes, lora_folder)
    spare_long_lived()
    return run_app(app, f"serving {', '.join(one.name for one in served)}", access, listening)
