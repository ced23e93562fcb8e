"""`camelid finetune tokens` and `perplexity`: raw text as token shards, and what a model knows of it."""

import argparse
from pathlib import Path
from typing import Any

from camelid.errors import UserError


def register(rooms: Any) -> None:
    """Add the commands; their names are two words, and `camelid finetune --help` names them."""
    parser = rooms.add_parser("finetune tokens", description="texts to token shards (Megatron's .bin and .idx)")
    parser.add_argument("tokenizer", help="a model folder, for its tokenizer")
    parser.add_argument("files", nargs="+", metavar="FILE", help="texts: files, folders, or data sets on the hub")
    parser.add_argument("--output", required=True, metavar="PREFIX", help="writes PREFIX.bin and PREFIX.idx")
    parser.set_defaults(run=run_tokens)

    parser = rooms.add_parser("finetune perplexity", description="loss, perplexity and bits a byte of texts")
    parser.add_argument("model", help="model folder")
    parser.add_argument("files", nargs="+", metavar="FILE", help="texts: files, folders, or data sets on the hub")
    parser.add_argument("--by-source", action="store_true", help="a line for each `source` that records name, or file")
    parser.add_argument(
        "--max-length", type=int, metavar="N", help="tokens that are read together (default: what the model takes)"
    )
    parser.add_argument(
        "--positions", type=int, metavar="N", help="loss by position instead, over the first N tokens of each text"
    )
    parser.add_argument("--output", metavar="DIR", help="with --positions: where its table and chart go")
    parser.add_argument("--quiet", action="store_true", help="no progress display")
    parser.set_defaults(run=run_perplexity)


def run_tokens(args: argparse.Namespace) -> int:
    """Write every text whole, begin and end of text around it."""
    from itertools import chain

    from camelid.files.ledger import Ledger
    from camelid.files.system_errors import make_folder, naming_write_errors
    from conversations.tokens.open_tokenizer import open_tokenizer
    from finetune.data.forms.text import encode_texts
    from finetune.data.shards import write_shard
    from finetune.data.sources import check_sources, read_source
    from finetune.recipe import DataSource

    prefix, tokenizer = Path(args.output), open_tokenizer(args.tokenizer)
    if prefix.suffix in (".bin", ".idx"):
        prefix = prefix.with_suffix("")
    sources, ledger = [DataSource(path, form="text") for path in args.files], Ledger("texts")
    check_sources(sources)
    make_folder(prefix.parent)
    with naming_write_errors(prefix, "the tokens"):
        texts = chain.from_iterable(map(read_source, sources))
        tokens = write_shard(prefix, encode_texts(texts, tokenizer, ledger), len(tokenizer))
    print(ledger.summary())
    if not ledger.kept:
        raise UserError(f"{', '.join(args.files)}: no text in it")
    print(f"{prefix}.bin: {tokens:,} tokens; train on it with `form: text`")
    return 0


def run_perplexity(args: argparse.Namespace) -> int:
    """Score every text and print a table."""
    if args.max_length is not None and args.max_length < 2:
        raise UserError(f"--max-length {args.max_length}: must be at least 2 tokens")
    if (args.positions is None) != (args.output is None):
        raise UserError("--positions N and --output DIR go together; give both or neither")
    if args.positions is not None:
        return _positions(args)
    from finetune.engine.perplexity import score_texts

    ledger, total, by_source = score_texts(Path(args.model), args.files, args.max_length, args.quiet)
    print(ledger.summary())
    shown = [*(by_source.items() if args.by_source else ()), ("all", total)]
    width = max(len(name) for name, _ in shown)
    print(f"{'':{width}}  {'tokens':>12}  {'loss':>8}  {'perplexity':>11}  {'bits a byte':>11}")
    for name, score in shown:
        bits = "-" if score.bits_per_byte is None else f"{score.bits_per_byte:.4f}"
        print(f"{name:{width}}  {score.tokens:>12,}  {score.loss:>8.4f}  {score.perplexity:>11.2f}  {bits:>11}")
    return 0


def _positions(args: argparse.Namespace) -> int:
    """Write the loss by position, and print it where the position doubles."""
    if args.by_source or args.max_length is not None:
        raise UserError("--positions: goes without --by-source and --max-length; leave them out")
    if args.positions < 2:
        raise UserError(f"--positions {args.positions}: must be at least 2 tokens")
    from finetune.context.position_losses import losses_of_files, write_position_losses

    ledger, curve = losses_of_files(Path(args.model), args.files, args.positions, args.quiet)
    print(ledger.summary())
    if not curve:
        raise UserError(f"{', '.join(args.files)}: no text of {args.positions} tokens; give longer texts or a lower N")
    write_position_losses(Path(args.output), curve, {"model": args.model, "files": args.files, "texts": ledger.kept})
    shown = 1
    for point in curve:
        if point.last >= shown or point is curve[-1]:
            print(f"{point.first:>9,} to {point.last:>9,}  {point.loss:.4f} nats a token")
            shown = 2 * point.last
    return 0
