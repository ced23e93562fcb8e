"""The mixture: how often each source is seen, so that it has its share of all tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from camelid.config import read_tree
from camelid.errors import UserError
from camelid.files.read import read_json
from camelid.files.write import atomic_write
from corpus.facts import Facts
from corpus.source_run import LEDGER

# LLaMA's: 4,749 GB on disk (Touvron et al. 2023, table 1) for the 1,263e9 tokens that its epochs imply.
BYTES_PER_TOKEN = 3.76


@dataclass(frozen=True)
class MixedSource:
    """A source in a mixture.

    Attributes:
        name: of its folder.
        path: of its data.
        share: its part of all tokens, 0..1.
        unique: tokens that it has.
        epochs: how often each of its documents is seen.
        estimated: whether `unique` was estimated from bytes.
    """

    name: str
    path: str
    share: float
    unique: float
    epochs: float
    estimated: bool


def mix_sources(
    folders: Sequence[Path], shares: Sequence[float], tokens: float, unique: Sequence[float] = ()
) -> list[MixedSource]:
    """How often each source must be seen.

    Args:
        folders: what `corpus read`, `dedup` or `build` wrote, one a source.
        shares: one a folder; they are made to add up to 1.
        tokens: of the whole training run.
        unique: tokens that the sources have, one a folder; empty takes their ledgers' count, or estimates it.

    Raises:
        UserError: not as many shares as folders, or a source without a token.
    """
    for name, given in (("--shares", shares), ("--unique", unique)):
        if len(given) != len(folders) and (given or name == "--shares"):
            raise UserError(f"{name}: {len(given)} numbers for {len(folders)} sources")
        if any(not number > 0 for number in given):
            raise UserError(f"{name}: every number must be greater than 0")
    if not tokens > 0:
        raise UserError(f"--tokens {tokens:g} must be greater than 0")
    whole = sum(shares)
    mixed = []
    for at, folder in enumerate(folders):
        count, estimated = (unique[at], False) if unique else count_tokens(folder)
        if not count > 0:
            raise UserError(f"{folder}: has no tokens to mix")
        share = shares[at] / whole
        path = folder / "data" if (folder / "data").is_dir() else folder
        mixed.append(MixedSource(folder.name, str(path), share, count, tokens * share / count, estimated))
    return mixed


def count_tokens(folder: Path) -> tuple[float, bool]:
    """The tokens of a source as its ledger has them, and whether that is an estimate.

    Raises:
        UserError: it is no folder that `corpus` wrote, or not done yet.
    """
    facts = read_facts(folder)
    return (facts.bytes / BYTES_PER_TOKEN, True) if facts.tokens is None else (float(facts.tokens), False)


def read_facts(folder: Path) -> Facts:
    """Raises: UserError: it is no folder that `corpus` wrote, or not done yet."""
    ledger = folder / LEDGER
    if not ledger.is_file():
        raise UserError(f"{ledger}: no such file; expected a folder that `camelid corpus read` or `build` finished")
    return Facts.from_json(read_json(ledger)["facts"])


def mixture_yaml(mixed: Sequence[MixedSource], recipe: Path | None = None) -> str:
    """`data.train` as YAML: of a recipe for `camelid finetune`, or by itself, with the mixture as a comment.

    Args:
        mixed: the sources.
        recipe: all but `data.train` is taken from it.
    """
    train = [{"path": one.path, "form": "text", "weight": round(one.epochs, 4)} for one in mixed]
    tree: dict[str, Any] = read_tree(recipe) if recipe else {}
    data = tree.get("data")
    tree["data"] = {**(data if isinstance(data, dict) else {}), "train": train}
    text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=120)
    return "".join(f"# {line}\n" for line in describe(mixed)) + str(text)


def write_mixture(path: Path, mixed: Sequence[MixedSource], recipe: Path | None = None) -> None:
    """Write `mixture_yaml` into a file."""
    with atomic_write(path) as file:
        file.write(mixture_yaml(mixed, recipe))


def describe(mixed: Sequence[MixedSource]) -> list[str]:
    """The mixture as lines of a table."""
    width = max(len(one.name) for one in mixed)
    lines = [f"{'source':{width}}  share %      tokens  epochs"]
    for one in mixed:
        about = "~" if one.estimated else " "
        lines.append(f"{one.name:{width}}  {100 * one.share:7.2f} {about}{one.unique:10.4g}  {one.epochs:6.3f}")
    return lines
