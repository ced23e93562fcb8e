"""`camelid weights new`: a random model with a tokenizer of its own, as a Hugging Face folder."""

import argparse
import shutil
from pathlib import Path
from typing import Any

from camelid.config import from_tree
from camelid.errors import UserError
from camelid.jsonl import file_hash, packaged, read_json, read_text, write_json
from camelid.lock import exclusive


def register(rooms: Any) -> None:
    """Add the `weights` commands."""
    verbs = rooms.add_parser("weights", help="make model folders").add_subparsers(metavar="VERB", required=True)
    parser = verbs.add_parser("new", help="a random model with a tokenizer trained on your data")
    parser.add_argument("config", help="YAML with the fields of a LLaMA config.json, e.g. recipes/models/tiny.yaml")
    parser.add_argument("output", help="the model folder to make")
    parser.add_argument("--data", nargs="+", required=True, metavar="FILE", help="what the tokenizer learns from")
    parser.add_argument("--template", required=True, help="prompt template, e.g. vicuna_v1.1")
    parser.add_argument("--seed", type=int, default=0, help="of the weights (default 0)")
    parser.set_defaults(run=new)


def new(args: argparse.Namespace) -> int:
    """Train the tokenizer, draw the weights, write the folder; the same command again does nothing."""
    folder = Path(args.output)
    made_from = {
        "config": read_text(packaged(args.config)),
        "data": [file_hash(path) if Path(path).is_file() else path for path in args.data],
        "template": args.template,
        "seed": args.seed,
    }
    with exclusive(folder.with_name(f".{folder.name}.lock")):
        return _new(folder, made_from, args)


def _new(folder: Path, made_from: dict[str, Any], args: argparse.Namespace) -> int:
    if folder.exists():
        record = folder / "made_from.json"
        if not record.is_file() or read_json(record) != made_from:
            raise UserError(f"{folder} exists and was made from something else; choose another folder or remove it")
        print(f"{folder}: already made")
        return 0
    _make(folder, made_from, args)
    return 0


def _make(folder: Path, made_from: dict[str, Any], args: argparse.Namespace) -> None:
    import dataclasses

    import yaml

    from conversations.readers import read_conversations
    from conversations.template import get_template
    from finetune.llama import weights
    from finetune.llama.config import LlamaConfig
    from finetune.llama.tokenizer import train_tokenizer

    config = from_tree(LlamaConfig, yaml.safe_load(made_from["config"]), args.config)
    template = get_template(args.template)
    texts = (
        span.text
        for path in args.data
        for conversation in read_conversations(path)
        for span in template.spans(conversation)
    )
    tokenizer = train_tokenizer(texts, config.vocab_size, template)
    config = dataclasses.replace(
        config,
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    weights.save(weights.new(config, args.seed).state_dict(), config, partial)
    tokenizer.save_pretrained(partial)
    write_json(partial / "made_from.json", made_from)
    partial.rename(folder)
    print(f"{folder}: {config.num_parameters():,} parameters, {len(tokenizer):,} tokens in the vocabulary")
