"""`accelerate launch` in this process: what stops it stops its workers, politely, and they end with one exit status."""

import logging
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import psutil

POLITE = (signal.SIGTERM, signal.SIGINT)
AGENT = "torch.distributed.elastic.multiprocessing.api"  # the logger of what watches the workers


def launch_workers(arguments: Sequence[str]) -> int:
    """Start workers and wait for them.

    SIGTERM and SIGINT are passed on as SIGTERM, on which a run saves and leaves. (Ctrl-C reaches the workers by itself,
    and a second SIGINT would interrupt them at once.) torch's agent would kill them after 30 s instead, saved or not.

    Args:
        arguments: of `accelerate launch`.

    Returns:
        The first failed worker's exit status, as a shell reports it; of a signal that came here, 128 and its number.
    """
    os.environ["PET_SIGNALS_TO_HANDLE"] = "SIGHUP,SIGQUIT"  # by the agent of torchrun, which Accelerate uses
    with _passing_on() as received:
        status = _run(arguments)
    polite_ends = [128 + number for number in POLITE]
    return 128 + received[0] if received and status in polite_ends else status


def _run(arguments: Sequence[str]) -> int:
    from accelerate.commands.launch import launch_command, launch_command_parser
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    try:
        launch_command(launch_command_parser().parse_args(arguments))
    except subprocess.CalledProcessError as error:
        status = error.returncode
    except ChildFailedError as error:
        status = error.get_first_failure()[1].exitcode
    else:
        status = 0
    return status if status >= 0 else 128 - status  # a negative one is that of a signal


@contextmanager
def _passing_on() -> Iterator[list[int]]:
    """Pass polite signals on to the workers; yields a list of those that came."""
    received: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        received.append(number)
        logging.getLogger(AGENT).setLevel(logging.CRITICAL)  # workers that leave when asked have not failed
        for worker in psutil.Process().children():
            worker.send_signal(signal.SIGTERM)

    before = {number: signal.signal(number, pass_on) for number in POLITE}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
