"""`camelid corpus build|read|dedup|references|mix|card`."""

import argparse
from pathlib import Path
from typing import Any

from camelid.text.dedup_command import add_executor_arguments

# As corpus/readers.py has them, and corpus/dedup/ways.py; tests hold them to it, and so nothing is imported for --help.
SOURCES = ("wet", "c4", "code", "wikipedia", "gutenberg", "arxiv", "stackexchange", "text")
WAYS = ("line", "exact", "document", "book")


def register(rooms: Any) -> None:
    """Add the `corpus` commands."""
    room = rooms.add_parser("corpus", help="make a corpus to pre-train on, from dumps and from what you own")
    verbs = room.add_subparsers(metavar="VERB", required=True)
    _register_build(verbs.add_parser("build", help="every source of a recipe, from raw files to a mixture"))
    _register_read(verbs.add_parser("read", help="one source: raw files to clean texts"))
    _register_dedup(verbs.add_parser("dedup", help="drop lines, documents or books that are there already"))
    references = verbs.add_parser("references", help="a classifier that tells good pages from random ones")
    _register_train(references.add_subparsers(metavar="VERB", required=True).add_parser("train", help="train it"))
    _register_mix(verbs.add_parser("mix", help="how often each source must be seen, as a recipe's data.train"))
    card = verbs.add_parser("card", help="a page about a corpus: what is in it, what was left out, samples")
    card.add_argument("corpus", type=Path, metavar="DIR", help="of a corpus, or of one source")
    card.add_argument("--output", type=Path, metavar="FILE", help="the page (default: DIR/card.html)")
    card.add_argument("--title", metavar="TEXT", help="of the page (default: the folder's name)")
    card.set_defaults(run=run_card)


def _add_run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tasks", type=int, metavar="N", help="pieces the work is shared out to (default: --workers)")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="pieces worked on at once (default 1)")
    add_executor_arguments(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress display")


def _register_build(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", metavar="RECIPE", help="such as recipes/corpus/llama1.yaml")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="changes to it: tokens=1e9")
    parser.add_argument("--raw", type=Path, required=True, metavar="DIR", help="where its inputs' names begin")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="gets a folder a source, and a card")
    _add_run_arguments(parser)
    parser.set_defaults(run=run_build)


def _register_read(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", choices=SOURCES, help="what the files are")
    parser.add_argument("inputs", nargs="+", type=Path, metavar="FILE", help="files and folders")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="gets data/*.jsonl.gz and ledger.json"
    )
    parser.add_argument("--name", metavar="NAME", help="that the records have as their source (default: SOURCE)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the reader: largest=5"
    )
    parser.add_argument(
        "--keep", action="append", default=[], metavar="KEY=VALUE", help="a rule of what stays: languages=[en]"
    )
    parser.add_argument(
        "--decontaminate", nargs="+", default=[], metavar="FILE", help="evaluation questions to keep out of the texts"
    )
    parser.add_argument("--tokenizer", metavar="MODEL", help="count tokens with this model's (default: not counted)")
    _add_run_arguments(parser)
    parser.set_defaults(run=run_read)


def _register_dedup(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source", type=Path, metavar="FOLDER", help="texts: what read wrote, or any of .jsonl and the like"
    )
    parser.add_argument("--by", choices=WAYS, required=True, help="what is compared")
    parser.add_argument("--output", type=Path, metavar="DIR", help="(default: FOLDER-unique)")
    parser.add_argument("--over", type=float, metavar="SHARE", help="of a book in another, from which it goes (0.9)")
    parser.add_argument("--similarity", type=float, metavar="J", help="from which documents are the same (0.8)")
    parser.add_argument("--key", choices=("ccnet", "c4"), help="what makes lines the same (default: ccnet)")
    parser.add_argument("--copies", choices=("first", "none"), help="of a line that stay (default: first)")
    _add_run_arguments(parser)
    parser.set_defaults(run=run_dedup)


def _register_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--good", nargs="+", required=True, metavar="FILE", help="texts that shall score high")
    parser.add_argument("--random", nargs="+", required=True, metavar="FILE", help="texts that shall not")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="the classifier, .npz")
    parser.set_defaults(run=run_train)


def _register_mix(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sources", nargs="+", type=Path, metavar="FOLDER", help="one a source, as read wrote them")
    parser.add_argument("--tokens", type=float, required=True, metavar="N", help="of the whole training run: 1.4e12")
    parser.add_argument("--shares", type=numbers, required=True, metavar="A,B,...", help="one a folder: 67,15,4.5")
    parser.add_argument(
        "--unique", type=numbers, default=[], metavar="A,B,...", help="tokens there are, if known better"
    )
    parser.add_argument("--recipe", type=Path, metavar="FILE", help="take all but data.train from this one")
    parser.add_argument("--output", type=Path, metavar="FILE", help="the recipe (default: it is printed)")
    parser.set_defaults(run=run_mix)


def numbers(text: str) -> list[float]:
    """`67,15,4.5` of the command line."""
    return [float(part) for part in text.replace(" ", "").strip(",").split(",")]


def run_build(args: argparse.Namespace) -> int:
    """Build a corpus after a recipe, or say that it has been done."""
    from corpus.run_command import build

    return build(args)


def run_read(args: argparse.Namespace) -> int:
    """Read one source."""
    from corpus.run_command import read

    return read(args)


def run_dedup(args: argparse.Namespace) -> int:
    """Drop what is there already."""
    from corpus.run_command import dedup

    return dedup(args)


def run_train(args: argparse.Namespace) -> int:
    """Train the classifier; say how well it tells texts apart that it was not shown."""
    from corpus.train_references import train_references

    print(train_references(args.good, args.random, args.output))
    return 0


def run_mix(args: argparse.Namespace) -> int:
    """Write the mixture as a recipe, or print it."""
    from corpus.mix import describe, mix_sources, mixture_yaml, write_mixture

    mixed = mix_sources(args.sources, args.shares, args.tokens, args.unique)
    if args.output is None:
        print(mixture_yaml(mixed, args.recipe), end="")
        return 0
    write_mixture(args.output, mixed, args.recipe)
    print("\n".join(describe(mixed)))
    print(f"{args.output}: data.train with {len(mixed)} sources")
    return 0


def run_card(args: argparse.Namespace) -> int:
    """Write the page."""
    from corpus.card import source_folders, write_card

    path = args.output or args.corpus / "card.html"
    cards = write_card(source_folders(args.corpus), path, args.title or args.corpus.resolve().name)
    for card in cards:
        about = "about " if card.estimated else ""
        print(f"{card.name}: {card.facts.documents:,} documents, {about}{card.tokens:,.0f} tokens")
    print(path)
    return 0
