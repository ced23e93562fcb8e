"""`camelid weights`: model folders made, imported, merged, published."""

import argparse
import dataclasses
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camelid.config import from_tree, read_tree
from camelid.errors import UserError, closest_name
from camelid.files.paths import MissingFileError, find_packaged
from camelid.files.read import file_hash, read_text
from camelid.files.write import write_json
from finetune.folders.make_once import make_once

if TYPE_CHECKING:
    from finetune.llama.config import LlamaConfig


def register(rooms: Any) -> None:
    """Add the `weights` commands."""
    verbs = rooms.add_parser("weights", help="make model folders").add_subparsers(metavar="VERB", required=True)

    parser = verbs.add_parser("new", help="a random model with a tokenizer trained on your data")
    parser.add_argument("shape", help="a published shape (llama-2-7b, ...) or YAML such as recipes/models/tiny.yaml")
    parser.add_argument("output", help="the model folder to make")
    parser.add_argument("--data", nargs="+", required=True, metavar="FILE", help="what the tokenizer learns from")
    parser.add_argument("--template", required=True, help="prompt template, e.g. vicuna_v1.1")
    parser.add_argument("--seed", type=int, default=0, help="of the weights (default 0)")
    parser.set_defaults(run=run_new)

    parser = verbs.add_parser("init", help="a random model for a tokenizer that is there")
    parser.add_argument("shape", help="a published shape (llama-2-7b, ...) or YAML such as recipes/models/tiny.yaml")
    parser.add_argument("--tokenizer", required=True, metavar="FOLDER", help="of `tokenizer train`, or a model's")
    parser.add_argument("--output", required=True, metavar="FOLDER", help="the model folder to make")
    parser.add_argument("--seed", type=int, default=0, help="of the weights (default 0)")
    parser.set_defaults(run=run_init)

    parser = verbs.add_parser("import", help="Meta's consolidated.*.pth, or .bin files, to a safetensors folder")
    parser.add_argument("source", help="folder with params.json and consolidated.*.pth, or a Hugging Face folder")
    parser.add_argument("output", help="the model folder to make")
    parser.set_defaults(run=run_import)

    parser = verbs.add_parser("merge", help="a PEFT adapter, or delta weights, into a base model")
    parser.add_argument("base", help="model folder")
    parser.add_argument("change", help="PEFT adapter folder, or a folder of delta weights (tuned minus base)")
    parser.add_argument("output", help="the model folder to make")
    parser.add_argument(
        "--delta", action="store_true", help="the change is delta weights though it has no delta.json (Vicuna v0)"
    )
    parser.set_defaults(run=run_merge)

    parser = verbs.add_parser("delta", help="tuned minus base, for publishing without the base")
    parser.add_argument("base", help="model folder")
    parser.add_argument("tuned", help="model folder")
    parser.add_argument("output", help="the folder of delta weights to make")
    parser.set_defaults(run=run_delta)

    parser = verbs.add_parser("resize", help="more tokens; new rows start as the mean of the old")
    parser.add_argument("model", help="model folder")
    parser.add_argument("output", help="the model folder to make")
    parser.add_argument("--add-tokens", nargs="*", default=[], metavar="TOKEN", help="special tokens, e.g. '[PAD]'")
    parser.add_argument("--multiple-of", type=int, default=1, metavar="N", help="round the rows up (64 is fast)")
    parser.set_defaults(run=run_resize)

    parser = verbs.add_parser("rope", help="positions that reach further, for training on longer texts")
    parser.add_argument("model", help="model folder")
    parser.add_argument("output", help="the model folder to make")
    parser.add_argument("--theta", type=float, metavar="BASE", help="of the rotary frequencies (Code Llama: 1e6)")
    parser.add_argument("--factor", type=float, metavar="F", help="divide positions by it (position interpolation)")
    parser.add_argument(
        "--context", type=int, metavar="N", help="longest sequence (default: as before, or --factor times that)"
    )
    parser.set_defaults(run=run_rope)

    parser = verbs.add_parser("push", help="a model or adapter, with its card, to the Hugging Face hub")
    parser.add_argument("folder", help="model folder or PEFT folder with a README.md")
    parser.add_argument("name", metavar="OWNER/NAME", help="the repository, made if there is none")
    parser.add_argument("--public", action="store_true", help="everybody may see it (default: its owners only)")
    parser.add_argument("--replace", action="store_true", help="in place of the files that it holds")
    parser.add_argument("--base", metavar="OWNER/NAME", help="what the base is called on the hub, for the card")
    parser.set_defaults(run=run_push)


def run_new(args: argparse.Namespace) -> int:
    """Train the tokenizer, draw the weights, write the folder; the same command again does nothing."""
    made_from = {
        "config": _shape_text(args.shape),
        "data": [file_hash(path) if Path(path).is_file() else path for path in args.data],
        "template": args.template,
        "seed": args.seed,
    }
    make_once(Path(args.output), made_from, partial(_make_new, args))
    return 0


def _make_new(args: argparse.Namespace, folder: Path) -> str:
    from conversations.formats.readers import read_conversations
    from conversations.tokens.template import get_template
    from finetune.folders.tokenizer import train_tokenizer
    from finetune.llama.architectures import ARCHITECTURES
    from finetune.llama.config import LlamaConfig

    config = ARCHITECTURES.get(args.shape) or from_tree(LlamaConfig, _shape_tree(args.shape), args.shape)
    template = get_template(args.template)
    texts = (
        span.text
        for path in args.data
        for conversation in read_conversations(path)
        for span in template.spans(conversation)
    )
    tokenizer = train_tokenizer(texts, config.vocab_size, template)
    made = _write_random(config, tokenizer, args.seed, folder)
    tokenizer.save_pretrained(folder)
    return made


def run_init(args: argparse.Namespace) -> int:
    """Draw the weights of a shape for a tokenizer that is there; the same command again does nothing."""
    from finetune.folders.merge import has_tokenizer

    if not has_tokenizer(args.tokenizer):
        raise UserError(f"--tokenizer {args.tokenizer}: no tokenizer there; `camelid tokenizer train` makes one")
    files = [Path(args.tokenizer) / name for name in ("tokenizer.model", "tokenizer.json")]
    hashes = [file_hash(path) for path in files if path.is_file()]
    made_from = {"config": _shape_text(args.shape), "tokenizer": hashes, "seed": args.seed}
    make_once(Path(args.output), made_from, partial(_make_init, args))
    return 0


def _make_init(args: argparse.Namespace, folder: Path) -> str:
    from conversations.tokens.open_tokenizer import open_tokenizer
    from finetune.folders.merge import copy_tokenizer
    from finetune.llama.architectures import ARCHITECTURES
    from finetune.llama.config import LlamaConfig

    tokenizer = open_tokenizer(args.tokenizer, f"--tokenizer {args.tokenizer}")
    config = ARCHITECTURES.get(args.shape)
    if config is None:
        tree = _shape_tree(args.shape) | {"vocab_size": len(tokenizer)}
        config = from_tree(LlamaConfig, tree, args.shape)
    made = _write_random(config, tokenizer, args.seed, folder)
    copy_tokenizer([args.tokenizer], folder)
    return made


def _shape_text(shape: str) -> str:
    """What tells a shape from others: a published name, or what its file says."""
    from finetune.llama.architectures import ARCHITECTURES

    if shape in ARCHITECTURES:
        return shape
    try:
        return read_text(find_packaged(shape))
    except MissingFileError as error:
        near = closest_name(shape, ARCHITECTURES)
        if near is None:
            raise
        raise UserError(f"{error}; no published shape either; did you mean {near!r}?") from None


def _shape_tree(shape: str) -> dict[str, Any]:
    return read_tree(find_packaged(shape))


def _write_random(config: "LlamaConfig", tokenizer: Any, seed: int, folder: Path) -> str:
    """Write random weights with as many rows as the tokenizer has tokens; return what was made, in words."""
    from finetune.folders import weights

    config = dataclasses.replace(
        config,
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    weights.save_model(weights.init_model(config, seed).state_dict(), config, folder)
    return f"{config.num_parameters():,} parameters, {len(tokenizer):,} tokens in the vocabulary"


def run_import(args: argparse.Namespace) -> int:
    """Write Meta's or pickled weights as a Hugging Face folder with safetensors."""
    from finetune.folders import meta, weights
    from finetune.folders.generation_config import read_generation_config
    from finetune.folders.merge import copy_tokenizer
    from finetune.llama.config import LlamaConfig

    folder, output = Path(args.source), Path(args.output)
    if (folder / "config.json").is_file():
        config, source = LlamaConfig.from_folder(folder), weights.open_tensors(folder)
        weights.check_tensors(config, source, str(folder))
        weights.write_weights(source, config, output, generation=read_generation_config(folder))
        copy_tokenizer([folder], output)
    else:
        config, source = meta.open_checkpoint(folder)
        weights.write_weights(source, config, output)
        _import_tokenizer(folder, config.vocab_size, output)
    print(f"{output}: {config.num_parameters():,} parameters")
    return 0


def _import_tokenizer(folder: Path, rows: int, output: Path) -> None:
    """Convert the tokenizer beside Meta's weights; if that fails the weights are there all the same."""
    from conversations.tokens.sentencepiece_model import read_tokenizer
    from finetune.folders.llama3_tokenizer import is_tiktoken_file, read_llama3_tokenizer

    # LLaMA-1 keeps one tokenizer.model beside the folders of all sizes.
    found = [path for path in (folder / "tokenizer.model", folder.parent / "tokenizer.model") if path.is_file()]
    reason = f"{folder}: no tokenizer.model here or above it"
    if found:
        try:
            tokenizer = read_llama3_tokenizer(found[0]) if is_tiktoken_file(found[0]) else read_tokenizer(found[0])
            tokenizer.save_pretrained(output)
            if len(tokenizer) > rows:
                more = (
                    f"{len(tokenizer):,} tokens, but the model {rows:,} rows; make room with `camelid weights resize`"
                )
                print(f"camelid: warning: {found[0]}: has {more}", file=sys.stderr)
            return
        except UserError as error:
            reason = str(error)
    print(f"camelid: warning: {reason}; put the tokenizer's files into {output} yourself", file=sys.stderr)


def run_merge(args: argparse.Namespace) -> int:
    """Add an adapter or delta weights to a base."""
    from finetune.folders.card import write_merged_card
    from finetune.folders.merge import combine_folders, merge_adapter, require_base
    from finetune.folders.weights import weights_hash

    if (Path(args.change) / "adapter_config.json").is_file():
        merge_adapter(args.base, args.change, args.output)  # refuses another base before it reads all of it
        base_hash = weights_hash(args.base)
    elif args.delta or (Path(args.change) / "delta.json").is_file():
        base_hash = weights_hash(args.base)
        require_base(args.change, args.base, base_hash)
        combine_folders(args.base, args.change, args.output, "add")
    else:
        raise UserError(
            f"{args.change}: has neither adapter_config.json nor delta.json; if it holds delta weights, say --delta"
        )
    record = {"base": str(args.base), "base_sha256": base_hash, "change": str(args.change)}
    write_json(Path(args.output) / "made_from.json", record)
    write_merged_card(Path(args.output), record)
    print(f"{args.output}: {args.base} with {args.change}")
    return 0


def run_delta(args: argparse.Namespace) -> int:
    """Write tuned minus base."""
    from finetune.folders.merge import combine_folders
    from finetune.folders.weights import weights_hash

    combine_folders(args.base, args.tuned, args.output, "subtract")
    record = {"base": str(args.base), "base_sha256": weights_hash(args.base), "tuned": str(args.tuned)}
    write_json(Path(args.output) / "delta.json", record)
    print(f"{args.output}: {args.tuned} without {args.base}; `camelid weights merge` puts them together again")
    return 0


def run_resize(args: argparse.Namespace) -> int:
    """Add tokens to the tokenizer and rows to the model."""
    from conversations.tokens.open_tokenizer import open_tokenizer
    from finetune.folders import weights
    from finetune.folders.generation_config import read_generation_config
    from finetune.folders.vocabulary import resize_vocabulary as resize_model

    if args.multiple_of < 1:
        raise UserError(f"--multiple-of {args.multiple_of}: must be at least 1")
    model = weights.load_model(args.model)
    tokenizer = open_tokenizer(args.model)
    added = 0
    if args.add_tokens:  # those that were special before stay so
        tokens = {"additional_special_tokens": args.add_tokens}
        added = tokenizer.add_special_tokens(tokens, replace_extra_special_tokens=False)
    before = model.config.vocab_size
    resize_model(model, max(before, len(tokenizer)), args.multiple_of)
    generation = read_generation_config(args.model)
    weights.save_model(model.state_dict(), model.config, args.output, generation=generation)
    tokenizer.save_pretrained(args.output)
    print(f"{args.output}: {added} tokens added, {before:,} rows before, {model.config.vocab_size:,} now")
    return 0


def run_rope(args: argparse.Namespace) -> int:
    """Write the model with another base, or with positions drawn together."""
    from finetune.folders.long_context import stretch_folder

    config = stretch_folder(args.model, args.output, args.theta, args.factor, args.context)
    scaled = f", positions divided by {args.factor:g}" if args.factor else ""
    print(f"{args.output}: {config.max_position_embeddings:,} tokens of context, base {config.rope_theta:,.0f}{scaled}")
    return 0


def run_push(args: argparse.Namespace) -> int:
    """Publish a folder, for its owners alone unless it says otherwise."""
    from finetune.folders.push import push_folder

    pushed = push_folder(args.folder, args.name, args.public, args.replace, args.base)
    removed = f", {pushed.removed} older ones removed" if pushed.removed else ""
    seen = "private" if pushed.private else "public"
    print(f"{pushed.address}: {pushed.files} files, {pushed.bytes / 1e6:,.1f} MB{removed}; {seen}")
    return 0
