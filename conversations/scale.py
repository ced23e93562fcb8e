"""The same conversion on a cluster: `datatrove` pipelines for one machine, Slurm or Ray (extra `scale`).

    python -m conversations.scale export-*.jsonl --output cleaned --tasks 8 --workers 2

runs them on this machine; docs/scale-conversations.md shows the same for Slurm.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from datatrove.data import Document
from datatrove.pipeline.base import PipelineStep

from camelid.errors import UserError
from camelid.files.ledger import Ledger, write_ledgers
from camelid.files.paths import missing_file_error
from camelid.files.read import Record, read_json, read_jsonl
from camelid.files.write import write_jsonl
from camelid.text.corpus_kind import TextComparison
from camelid.text.datatrove_runs import minhash_stages, run_stages
from camelid.text.words import unicode_tokens
from conversations.batch import NEAR_DUPLICATE, ConversionWork, cut_into_batches, drop_kept, process_batch
from conversations.convert_command import add_work_arguments, make_work
from conversations.formats.readers import scan_chats

# Five words in a row and all numbers alike, as FineWeb compares web pages (Penedo et al. 2024, section 3.4).
COMPARISON = TextComparison(unicode_tokens, n_grams=5, numbers=False)


def pipelines(
    inputs: Sequence[str], output: str | Path, work: ConversionWork, tasks: int
) -> list[tuple[list[Any], int]]:
    """The pipelines, each with its number of tasks; each must end before the next begins.

    They leave `output/conversations/*.jsonl` and, for `summarize`, a ledger of every task.

    Args:
        inputs: files in any format that `conversations.formats.readers` knows, on storage that all tasks see.
        output: a folder on such storage.
        work: as for `conversations.convert.Conversion`.
        tasks: how many parts the work is cut into.
    """
    folder = Path(output)
    stages = minhash_stages(
        CleanConversations(inputs, folder, work),
        [ReadCleaned(folder)],
        [WriteConversations(folder)],
        COMPARISON,
        [str(folder / "minhash" / name) for name in ("signatures", "pairs", "remove")],
        tasks,
    )
    return [(steps, count) for _, steps, count in stages]


def run_locally(stages: list[tuple[list[Any], int]], output: str | Path, workers: int) -> None:
    """Run the pipelines on this machine; started again, it goes on where it stopped."""
    numbered = [(str(number), steps, tasks) for number, (steps, tasks) in enumerate(stages, start=1)]
    run_stages("local", numbered, str(Path(output) / "logs"), workers, {})


def summarize(output: str | Path) -> list[Ledger]:
    """Add up the ledgers of all tasks, write `output/ledger.json`, and return the sums."""
    folder = Path(output)
    conversations, turns = Ledger("conversations"), Ledger("turns")
    faults: list[str] = []
    for path in sorted((folder / "cleaned").glob("*.ledger.json")):
        counts = read_json(path)
        conversations.add(Ledger.from_json(counts["ledgers"][0]))
        turns.add(Ledger.from_json(counts["ledgers"][1]))
        faults += counts["faults"]
    left = [read_json(path)["ledgers"] for path in sorted((folder / "conversations").glob("*.ledger.json"))]
    gone = conversations.kept - sum(one[0]["kept"] for one in left)
    conversations.kept -= gone
    if gone:
        conversations.drop(NEAR_DUPLICATE, gone)
    drop_kept(turns, turns.kept - sum(one[1]["kept"] for one in left))
    write_ledgers(folder / "ledger.json", [conversations, turns], faults=faults)
    return [conversations, turns]


class CleanConversations(PipelineStep):  # type: ignore[misc]
    """Reads this task's part of the records, cleans them, keeps them in a file, and passes them on."""

    type, name = "READER", "Camelid: clean conversations"

    def __init__(self, inputs: Sequence[str], output: Path, work: ConversionWork) -> None:
        super().__init__()
        self.inputs, self.output, self.work = list(inputs), output, work

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        conversations, turns, faults = Ledger("conversations"), Ledger("turns"), list[str]()

        def cleaned() -> Iterator[Record]:
            for batch in cut_into_batches(self._part(rank, world_size)):
                result = process_batch(self.work, batch)
                conversations.add(result.dropped)
                turns.add(result.turns)
                faults.extend(result.faults)
                conversations.keep(len(result.cleaned))
                for one in result.cleaned:
                    yield {"conversation": one.conversation.to_json(), "turns": one.turns}

        path = self.output / "cleaned" / f"{rank:05d}.jsonl"
        write_jsonl(path, cleaned())
        write_ledgers(path.with_suffix(".ledger.json"), [conversations, turns], faults=faults)
        for reason, count in conversations.dropped.items():
            self.stat_update(f"dropped: {reason}", value=count)
        yield from ReadCleaned(self.output).run(rank=rank)

    def _part(self, rank: int, world_size: int) -> Iterator[tuple[str, Record | UserError]]:
        """Whole files where there are enough of them, else every `world_size`-th record."""
        if len(self.inputs) >= world_size:
            return (record for path in self.inputs[rank::world_size] for record in scan_chats(path))
        return islice((record for path in self.inputs for record in scan_chats(path)), rank, None, world_size)


class ReadCleaned(PipelineStep):  # type: ignore[misc]
    """Passes on what `CleanConversations` kept in the same task."""

    type, name = "READER", "Camelid: read cleaned"

    def __init__(self, output: Path) -> None:
        super().__init__()
        self.output = output

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        for _, record in read_jsonl(self.output / "cleaned" / f"{rank:05d}.jsonl"):
            conversation = record["conversation"]
            text = "\n".join(message["content"] for message in conversation["messages"])
            yield Document(text=text, id=conversation["id"], metadata=record)


class WriteConversations(PipelineStep):  # type: ignore[misc]
    """Writes the conversations that are left, and how many."""

    type, name = "WRITER", "Camelid: write conversations"

    def __init__(self, output: Path) -> None:
        super().__init__()
        self.output = output

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        conversations, turns = Ledger("conversations"), Ledger("turns")
        path = self.output / "conversations" / f"{rank:05d}.jsonl"

        def left() -> Iterator[Record]:
            for document in data:
                conversations.keep()
                turns.keep(document.metadata["turns"])
                yield document.metadata["conversation"]

        write_jsonl(path, left())
        write_ledgers(path.with_suffix(".ledger.json"), [conversations, turns])
        yield from ()


def main(arguments: Sequence[str] | None = None) -> int:
    """Clean and deduplicate on this machine with datatrove."""
    parser = argparse.ArgumentParser(prog="python -m conversations.scale", description=main.__doc__)
    parser.add_argument("inputs", nargs="+", metavar="FILE", help="chats in any format that `convert` reads")
    parser.add_argument("--output", required=True, metavar="DIR")
    parser.add_argument("--tasks", type=int, default=8, metavar="N", help="parts the work is cut into (default 8)")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="parts worked on at once (default 1)")
    add_work_arguments(parser)
    args = parser.parse_args(arguments)
    try:
        for path in args.inputs:
            if not Path(path).exists():  # datatrove would print a traceback, too
                raise missing_file_error(Path(path))
        run_locally(pipelines(args.inputs, args.output, make_work(args), args.tasks), args.output, args.workers)
    except UserError as error:
        print(f"camelid: error: {error}", file=sys.stderr)
        return 2
    for ledger in summarize(args.output):
        print(ledger.summary())
    return 0


if __name__ == "__main__":
    sys.exit(main())
