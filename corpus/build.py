"""A corpus after a recipe: every source from its raw files to its folder, then the mixture and the card."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from camelid.config import to_tree
from camelid.errors import UserError
from camelid.files.paths import short_names, suggest_path
from camelid.files.read import file_hash, read_json
from camelid.files.write import write_json
from corpus.recipe import CorpusRecipe, SourceSection
from corpus.source_run import SourceRun

ASKED = "asked.json"


def source_runs(recipe: CorpusRecipe, raw: Path, output: Path) -> list[SourceRun]:
    """What is to be done for each source.

    Args:
        recipe: says what.
        raw: where the inputs' names begin.
        output: gets a folder a source.

    Raises:
        UserError: an input is not there.
    """
    return [_source_run(recipe, name, section, raw, output) for name, section in recipe.sources.items()]


def _source_run(recipe: CorpusRecipe, name: str, section: SourceSection, raw: Path, output: Path) -> SourceRun:
    reader = section.make_reader()
    inputs = [path for pattern in section.inputs for path in _matching(raw, pattern, name)]
    rules = replace(section.keep, decontaminate=(*recipe.decontaminate, *section.keep.decontaminate))
    parts = tuple(reader.parts(inputs))
    asked = {
        **to_tree(section),
        "decontaminate": {short: file_hash(path) for short, path in short_names(rules.decontaminate).items()},
        "parts": len(parts),
    }
    return SourceRun(name, output / name, parts, reader, rules, section.make_dedup(), recipe.tokenizer, asked)


def _matching(raw: Path, pattern: str, name: str) -> list[Path]:
    if "*" not in pattern:
        if not (raw / pattern).exists():
            raise UserError(f"sources.{name}: {raw / pattern}: no such file or folder{suggest_path(raw / pattern)}")
        return [raw / pattern]
    found = sorted(raw.glob(pattern))
    if not found:
        raise UserError(f"sources.{name}: {raw / pattern}: nothing has a name like that")
    return found


def claim_folder(folder: Path, asked: dict[str, Any]) -> None:
    """Note what a folder is for, or see that it is for the same.

    Raises:
        UserError: it was begun with other options.
    """
    path = folder / ASKED
    if path.exists() and read_json(path) != asked:
        raise UserError(f"{folder}: was begun with other options ({ASKED}); name another --output")
    if not path.exists():
        write_json(path, asked)
