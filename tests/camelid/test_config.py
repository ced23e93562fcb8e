"""YAML into dataclasses: what is wrong is named, nothing is ignored."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from camelid.config import load_config, to_tree
from camelid.errors import UserError


@dataclass(frozen=True)
class Inner:
    lr: float = 1e-3
    kind: Literal["cosine", "linear"] = "cosine"

    def __post_init__(self) -> None:
        if self.lr <= 0:
            raise UserError(f"lr = {self.lr} must be above 0")


@dataclass(frozen=True)
class Outer:
    name: str
    optim: Inner = field(default_factory=Inner)
    steps: int | None = None
    files: tuple[str, ...] = ()


def load(tmp_path: Path, text: str, *overrides: str) -> Outer:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    return load_config(Outer, path, overrides)


def test_values_defaults_and_overrides(tmp_path: Path) -> None:
    config = load(tmp_path, "name: a\noptim: {lr: 2e-5}\nfiles: [x, y]", "steps=7", "optim.kind=linear")
    assert config == Outer("a", Inner(2e-5, "linear"), 7, ("x", "y"))
    assert to_tree(config)["optim"] == {"lr": 2e-5, "kind": "linear"}


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        ("name: a\noptim: {leraning: 1}", (), "unknown key 'optim.leraning'"),
        ("name: a\noptim: {lrr: 1}", (), r"unknown key 'optim\.lrr'; did you mean 'lr'\?"),
        ("name: a\noptim: {kind: cosin}", (), "did you mean 'cosine'"),
        ("name: a\noptim: {lr: fast}", (), "optim.lr must be a number, found 'fast'"),
        ("name: a\noptim: {lr: -1}", (), "lr = -1.0 must be above 0"),
        ("name: a\nsteps: 1.5", (), "steps must be a whole number"),
        ("name: a\nsteps: true", (), "steps must be a whole number"),
        ("name: 1", (), "name must be a string"),
        ("optim: {}", (), "missing key 'name'"),
        ("name: [a\nb: c", (), r"c\.yaml:\d: broken YAML"),
        ("- a", (), "expected a mapping"),
        ("name: a", ("steps",), "must look like key=value"),
        ("name: a", ("name.x=1",), "'name' is a value, not a section"),
        ("name: a", ("optim.lr=[",), "not valid YAML"),
        ("name: a\nfiles: x", (), "files must be a list"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(tmp_path, text, *overrides)
