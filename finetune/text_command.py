"""`camelid finetune tokens`: raw text as token shards, which other programs read, too."""

import argparse
from pathlib import Path
from typing import Any

from camelid.errors import UserError


def register(rooms: Any) -> None:
    """Add the command; its name is two words, and `camelid finetune --help` names it."""
    parser = rooms.add_parser("finetune tokens", description="texts to token shards (Megatron's .bin and .idx)")
    parser.add_argument("tokenizer", help="a model folder, for its tokenizer")
    parser.add_argument("files", nargs="+", metavar="FILE", help="texts: files, folders, or data sets on the hub")
    parser.add_argument("--output", required=True, metavar="PREFIX", help="writes PREFIX.bin and PREFIX.idx")
    parser.set_defaults(run=run_tokens)


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
