"""`camelid eval preferences`."""

import argparse
from pathlib import Path
from typing import Any

from camelid.errors import UserError
from eval.judging.modes.table import MODES


def register_preferences(verbs: Any) -> None:
    """Add the verb to the `eval` command."""
    parser = verbs.add_parser("preferences", help="votes and judgments of pairs as preferences to train on")
    parser.add_argument("folder", metavar="DIR", help="the chat page's votes, or an evaluation's folder")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="the preferences, JSON Lines")
    parser.add_argument("--questions", metavar="FILE", help="what was asked (default: DIR/questions.jsonl)")
    parser.add_argument(
        "--mode",
        choices=tuple(mode.name for mode in MODES.values() if mode.paired),
        help="which judgments, if there are several modes' in the folder",
    )
    parser.add_argument("--judge", action="append", default=[], help="whose judgments, several times for several")
    parser.set_defaults(run=run_preferences)


def run_preferences(args: argparse.Namespace) -> int:
    """Write the preferences, and their ledger beside them; status 1 if there are none."""
    from camelid.files.ledger import write_ledgers
    from camelid.files.paths import beside, refuse_overwriting
    from camelid.files.write import write_jsonl
    from eval.ask.questions import read_questions
    from eval.folder import read_folder, references_path
    from eval.numbers.outcomes import without_duplicates
    from eval.preferences import VotedPreferences, read_shown_messages

    folder = Path(args.folder)
    own = folder / "questions.jsonl"
    if not args.questions and not own.is_file():
        raise UserError(f"{folder}: has no questions.jsonl; say with --questions what was asked")
    asked, kept = Path(args.questions or own), references_path(folder)
    ledger = beside(args.output, ".ledger.json")
    for path in (args.output, ledger):
        refuse_overwriting(path, [asked, folder])
    questions = read_questions(asked, kept if kept.is_file() else None)
    found = read_folder(folder, questions, args.mode, args.judge, None, asked)
    judgments, further = without_duplicates(found.judgments)
    if not any(len(item.models) == 2 for item in judgments):
        raise UserError(
            f"{folder}: its judgments compare no answers; judge with --mode pairwise, then choose that mode"
        )
    voted = VotedPreferences(questions, read_shown_messages(asked), found.answers)
    count = write_jsonl(args.output, (one.to_json() for one in voted.run(judgments)))
    write_ledgers(ledger, [voted.ledger])
    for note in found.notes:
        print(note)
    if further:
        print(f"Judgments of what another one judges, too: {len(further):,}, left out.")
    print(voted.ledger.summary())
    print(f"{args.output}: {count} preferences")
    return 0 if count else 1
