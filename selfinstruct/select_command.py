"""`camelid selfinstruct select`."""

import argparse
from pathlib import Path

from selfinstruct.choosing.rewards import RULES


def register_select(parser: argparse.ArgumentParser) -> None:
    """Add what `select` takes."""
    parser.add_argument(
        "candidates", nargs="+", metavar="FILE", help="scored candidates: this round's, and those of earlier rounds"
    )
    rules = "; ".join(f"{rule.name}: {rule.help}" for rule in RULES.values())
    parser.add_argument(
        "--by", required=True, metavar="RULE", help=f"{rules}; any other name: the highest score so named"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="what is chosen, JSON Lines")
    parser.add_argument(
        "--preferences", action="store_true", help="write the best and the worst as preferences, not the best to train"
    )
    parser.set_defaults(run=run_select)


def run_select(args: argparse.Namespace) -> int:
    """Choose; status 1 if nothing is."""
    from camelid.files.ledger import write_ledgers
    from camelid.files.paths import beside, refuse_overwriting
    from camelid.files.write import write_jsonl
    from selfinstruct.choosing.rewards import best_of_kl, find_rule
    from selfinstruct.choosing.select import AnswerSelection

    ledger = beside(args.output, ".ledger.json")
    for path in (args.output, ledger):
        refuse_overwriting(path, args.candidates)
    selection = AnswerSelection(find_rule(args.by))
    selection.read(args.candidates)
    chosen = selection.preferences() if args.preferences else selection.conversations()
    count = write_jsonl(args.output, (one.to_json() for one in chosen))
    each = selection.answers.kept / max(1, selection.prompts.read)
    facts = {"by": args.by, "mean": selection.whitening.mean, "deviation": selection.whitening.deviation}
    ledgers = [selection.answers, selection.prompts]
    write_ledgers(ledger, ledgers, **facts, answers_each=each)
    for one in ledgers:
        print(one.summary())
    if each > 1 and selection.rule.needs:
        print(
            f"{each:.1f} answers to a prompt: the best of them is at most {best_of_kl(each):.2f} nats from their model"
        )
    print(f"{args.output}: {count} {'preferences' if args.preferences else 'conversations'}")
    return 0 if count else 1
