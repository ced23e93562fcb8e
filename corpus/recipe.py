"""A corpus's recipe: its sources, how each is read, what of it stays, and its share of the mixture."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from camelid.config import from_tree, load_config
from camelid.errors import UserError, suggest_name
from corpus.dedup.way import DedupWay
from corpus.dedup.ways import WAYS
from corpus.keep import EVALUATIONS, KeepRules
from corpus.reader import Reader
from corpus.readers import READERS


@dataclass(frozen=True)
class SourceSection:
    """A source.

    Attributes:
        reader: how its raw files are read: a name of `camelid corpus read`.
        inputs: files and folders of it, under `--raw`; `*` stands for any part of a name.
        share: its part of the mixture; shares need not add up to 100.
        settings: of the reader.
        dedup: how duplicates are found: `line`, `exact`, `document` or `book`; null for no search.
        dedup_settings: of that.
        keep: rules of which documents stay.
    """

    reader: str
    inputs: tuple[str, ...]
    share: float
    settings: dict[str, Any] = field(default_factory=dict)
    dedup: str | None = None
    dedup_settings: dict[str, Any] = field(default_factory=dict)
    keep: KeepRules = field(default_factory=KeepRules)

    def __post_init__(self) -> None:
        if self.reader not in READERS:
            raise UserError(f"reader {self.reader!r} is unknown{suggest_name(self.reader, READERS)}")
        if self.dedup is not None and self.dedup not in WAYS:
            raise UserError(f"dedup {self.dedup!r} is unknown{suggest_name(self.dedup, WAYS)}")
        if self.dedup is None and self.dedup_settings:
            raise UserError("dedup_settings without dedup")
        if not self.share > 0:
            raise UserError(f"share = {self.share} must be greater than 0")
        if not self.inputs:
            raise UserError("inputs must name a file or folder")
        self.make_reader(), self.make_dedup()

    def make_reader(self) -> Reader:
        """Raises: UserError: a setting that the reader does not have."""
        return from_tree(READERS[self.reader], self.settings, f"reader {self.reader}")

    def make_dedup(self) -> DedupWay | None:
        """Raises: UserError: a setting that it does not have."""
        return None if self.dedup is None else from_tree(WAYS[self.dedup], self.dedup_settings, f"dedup {self.dedup}")


@dataclass(frozen=True)
class CorpusRecipe:
    """The whole recipe.

    Attributes:
        sources: by the names that their folders and records get, in the order of the mixture.
        tokens: that the mixture is for; LLaMA's are 1.4e12. Epochs follow from it, the shares and what there is.
        tokenizer: a model's folder, to count tokens with; null estimates them from bytes.
        decontaminate: files of evaluation questions, kept out of all sources.
    """

    sources: dict[str, Any]
    tokens: float
    tokenizer: str | None = None
    decontaminate: tuple[str, ...] = EVALUATIONS

    def __post_init__(self) -> None:
        if not self.sources:
            raise UserError("sources: there are none")
        if not self.tokens > 0:
            raise UserError(f"tokens = {self.tokens:g} must be greater than 0")
        sections = {str(name): from_tree(SourceSection, tree, f"sources.{name}") for name, tree in self.sources.items()}
        for name in sections:
            if not name.replace("-", "").replace("_", "").isalnum():
                raise UserError(f"sources: {name!r} must be letters, digits, - and _: it becomes a folder's name")
        object.__setattr__(self, "sources", sections)


def read_corpus_recipe(path: str | Path, overrides: tuple[str, ...] = ()) -> CorpusRecipe:
    """Raises: UserError: no such file, a key that does not exist, or a value out of range."""
    return load_config(CorpusRecipe, path, overrides)
