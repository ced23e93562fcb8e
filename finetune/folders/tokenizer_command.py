"""`camelid tokenizer train`: a vocabulary of LLaMA's kind for a model that starts from nothing."""

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from camelid.files.read import file_hash
from camelid.files.texts import read_texts
from camelid.files.write import write_bytes
from finetune.folders.make_once import make_once


def register(rooms: Any) -> None:
    """Add the `tokenizer` commands."""
    verbs = rooms.add_parser("tokenizer", help="make tokenizers").add_subparsers(metavar="VERB", required=True)

    parser = verbs.add_parser("train", help="a SentencePiece BPE, as LLaMA's, of raw texts")
    parser.add_argument("texts", nargs="+", metavar="FILE", help="plain text, records with `text`, folders of both")
    parser.add_argument("--vocab", type=int, default=32000, metavar="N", help="tokens (default 32000, as LLaMA has)")
    parser.add_argument("--output", required=True, metavar="FOLDER", help="the tokenizer's folder to make")
    parser.set_defaults(run=run_train)


def run_train(args: argparse.Namespace) -> int:
    """Train a tokenizer in SentencePiece's and Hugging Face's form; the same command again does nothing."""
    made_from = {"texts": [_content(Path(path)) for path in args.texts], "vocab": args.vocab}
    make_once(Path(args.output), made_from, partial(_make, args))
    return 0


def _content(path: Path) -> Any:
    """What tells texts from others: a file's hash, or those of all files in a folder by their names."""
    if not path.is_dir():
        return file_hash(path)
    return {str(file.relative_to(path)): file_hash(file) for file in sorted(path.rglob("*")) if file.is_file()}


def _make(args: argparse.Namespace, folder: Path) -> str:
    from conversations.tokens.sentencepiece_model import read_tokenizer
    from finetune.folders.sentencepiece_trainer import train_sentencepiece

    read = 0

    def texts() -> Iterator[str]:
        nonlocal read
        for path in args.texts:
            for _, text in read_texts(path):
                read += 1
                yield text

    write_bytes(folder / "tokenizer.model", train_sentencepiece(texts(), args.vocab))
    tokenizer = read_tokenizer(folder / "tokenizer.model")
    tokenizer.save_pretrained(folder)
    return f"{len(tokenizer):,} tokens from {read:,} documents"
