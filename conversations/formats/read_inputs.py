"""Conversations of the files named on the command line."""

import sys
from collections.abc import Iterator, Sequence

from camelid.files.paths import find_packaged
from camelid.message import Conversation
from camelid.progress import Progress
from conversations.formats.readers import read_conversations


def read_inputs(inputs: Sequence[str]) -> Iterator[Conversation]:
    """All conversations in order, counted on the terminal as they go by."""
    done = 0
    with Progress("read", None, quiet=not sys.stderr.isatty()) as progress:
        for path in inputs:
            for conversation in read_conversations(find_packaged(path)):
                yield conversation
                done += 1
                progress.update(done)
