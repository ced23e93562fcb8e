"""Sections of a recipe for the tests of data."""

from pathlib import Path

from finetune.recipe import DataSection, DataSource


def section_of(path: Path, template: str = "vicuna_v1.1", packing: bool = True, weight: float = 1.0) -> DataSection:
    """One source, in sequences of 128 tokens."""
    return DataSection((DataSource(str(path), weight),), template, max_length=128, packing=packing)
