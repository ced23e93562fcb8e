"""`camelid conversations preferences`."""

import argparse
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from camelid.errors import UserError
from conversations.formats.preferences.table import PREFERENCE_FORMATS
from conversations.unreadable import MOST_UNREADABLE, judge_unreadable, tell_faults

if TYPE_CHECKING:
    from conversations.collect_preferences import PreferenceCollection
    from conversations.look.preferences import PreferenceAudit


def register_preferences(verbs: Any) -> None:
    """Add the verb to the `conversations` command."""
    parser = verbs.add_parser("preferences", help="read preferences in any known format, audit them, write our records")
    parser.add_argument("inputs", nargs="+", metavar="FILE", help="JSON, JSON Lines, CSV (also packed), Parquet, ...")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="the preferences, JSON Lines; of records with several labels a file each, FILE.LABEL.jsonl (default: only "
        "the audit)",
    )
    parser.add_argument(
        "--format", choices=tuple(PREFERENCE_FORMATS), help="of all inputs (detected record by record if left out)"
    )
    most = f"exit with 1 if a larger share of the records cannot be read (default {MOST_UNREADABLE:g})"
    parser.add_argument("--max-unreadable", type=float, default=MOST_UNREADABLE, metavar="SHARE", help=most)
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    parser.set_defaults(run=run_preferences)


def run_preferences(args: argparse.Namespace) -> int:
    """Read, audit, write; the ledger beside the output has the audit, too."""
    from camelid.files.ledger import write_ledgers
    from camelid.files.paths import beside, find_packaged, refuse_overwriting
    from camelid.progress import Progress
    from conversations.collect_preferences import PreferenceCollection
    from conversations.look.preferences import PreferenceAudit

    if not 0 <= args.max_unreadable <= 1:
        raise UserError(f"--max-unreadable must be from 0 to 1, found {args.max_unreadable}")
    ledger_path = beside(args.output, ".ledger.json") if args.output else None
    for path in filter(None, (args.output, ledger_path)):
        refuse_overwriting(path, args.inputs)
    collection, audits = PreferenceCollection(args.format), dict[str, PreferenceAudit]()
    with _Outputs(args.output, args.inputs) as outputs, Progress("preferences", None, args.quiet) as progress:
        for done, (label, record) in enumerate(collection.run(find_packaged(path) for path in args.inputs), 1):
            audits.setdefault(label, PreferenceAudit()).add(record)
            outputs.write(label, record.to_json())
            progress.update(done)
    ledgers = [one for one in collection.ledgers.values() if one.read]
    if ledger_path:
        facts = {label or "preferences": audit.to_json() for label, audit in audits.items()}
        write_ledgers(ledger_path, ledgers, faults=collection.faults, audit=facts)
    _tell(collection, audits)
    tell_faults(collection.faults, ledger_path)
    for path, count in outputs.counts.items():
        print(f"{path}: {count} preferences")
    if not audits:
        raise UserError("nothing was kept" + ("" if ledgers else ": there are no records"))
    return judge_unreadable(len(collection.faults), sum(one.read for one in ledgers), args.max_unreadable)


def _tell(collection: "PreferenceCollection", audits: "dict[str, PreferenceAudit]") -> None:
    for label, ledger in collection.ledgers.items():
        if ledger.read:
            print(ledger.summary())
        if label in audits:
            for level, text in audits[label].findings():
                print(f"{level:>4}  {text}")


class _Outputs:
    """The files that are written, each made with its first record; none where no output is asked for.

    Attributes:
        counts: how many records each holds.
    """

    def __init__(self, output: Path | None, inputs: list[str]) -> None:
        self._output, self._inputs = output, inputs
        self._stack, self._files = ExitStack(), dict[str, IO[str]]()
        self.counts: dict[Path, int] = {}

    def __enter__(self) -> "_Outputs":
        self._stack.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if error[0] is None and self._output and not self._files:
            self._open("", self._output)
        self._stack.__exit__(*error)

    def write(self, label: str, record: dict[str, Any]) -> None:
        """Write a record into the file of its label."""
        from camelid.files.write import dumps

        if self._output is None:
            return
        path = (
            self._output.with_name(f"{self._output.name.removesuffix('.jsonl')}.{label}.jsonl")
            if label
            else self._output
        )
        if label not in self._files:
            self._open(label, path)
        self._files[label].write(dumps(record) + "\n")
        self.counts[path] += 1

    def _open(self, label: str, path: Path) -> None:
        from camelid.files.paths import refuse_overwriting
        from camelid.files.write import atomic_write

        refuse_overwriting(path, self._inputs)
        self._files[label] = self._stack.enter_context(atomic_write(path))
        self.counts[path] = 0
