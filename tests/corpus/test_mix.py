"""The mixture: LLaMA's epochs, and what they come to when documents are drawn."""

from pathlib import Path

import pytest
import yaml

from camelid.files.write import write_json
from corpus.facts import Facts
from corpus.mix import mix_sources, write_mixture
from tests.corpus.conftest import CorpusCommand

NAMES = ("cc", "c4", "github", "wikipedia", "books", "arxiv", "stackexchange")
SHARES = (67, 15, 4.5, 4.5, 4.5, 2.5, 2)  # Touvron et al. 2023, table 1
EPOCHS = (1.10, 1.06, 0.64, 2.45, 2.23, 1.06, 1.03)
UNIQUE = (853e9, 198e9, 98e9, 25.7e9, 28.3e9, 33.0e9, 27.2e9)  # what shares and epochs imply at 1.4T


def folders(root: Path, tokens: tuple[float, ...]) -> list[Path]:
    for name, count in zip(NAMES, tokens, strict=True):
        facts = Facts(documents=1, characters=1, bytes=4, tokens=int(count))
        write_json(root / name / "ledger.json", {"ledgers": [], "facts": facts.to_json(), "asked": {}})
        (root / name / "data").mkdir()
    return [root / name for name in NAMES]


def test_llamas_seven_epochs(tmp_path: Path, corpus: CorpusCommand) -> None:
    sources = folders(tmp_path, UNIQUE)
    shares = ",".join(map(str, SHARES))
    status, out, _ = corpus("mix", *sources, "--tokens", "1.4e12", "--shares", shares, "--output", tmp_path / "m.yaml")
    train = yaml.safe_load((tmp_path / "m.yaml").read_text())["data"]["train"]
    assert status == 0 and [source["weight"] for source in train] == pytest.approx(EPOCHS, abs=0.005)
    assert [source["path"] for source in train] == [str(source / "data") for source in sources]
    assert {source["form"] for source in train} == {"text"} and "wikipedia         4.50    2.57e+10   2.451" in out


def test_a_recipe_gets_the_mixture(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("model: {path: x}\ndata: {max_length: 128, train: [{path: old}]}\n")
    mixed = mix_sources(folders(tmp_path, UNIQUE)[:2], [3, 1], 1e12)
    write_mixture(tmp_path / "new.yaml", mixed, tmp_path / "base.yaml")
    tree = yaml.safe_load((tmp_path / "new.yaml").read_text())
    assert tree["model"] == {"path": "x"} and tree["data"]["max_length"] == 128
    assert [source["weight"] for source in tree["data"]["train"]] == [0.8792, 1.2626]


def test_tokens_are_estimated_where_none_were_counted(tmp_path: Path, corpus: CorpusCommand) -> None:
    (tmp_path / "a.txt").write_text("word " * 752)
    corpus("read", "text", tmp_path / "a.txt", "--output", tmp_path / "out", "--quiet")
    _, out, _ = corpus("mix", tmp_path / "out", "--tokens", "1e3", "--shares", "1")
    assert "~      1000   1.000" in out
    [source] = yaml.safe_load(out)["data"]["train"]
    assert source == {"path": str(tmp_path / "out" / "data"), "form": "text", "weight": 1.0}


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("--tokens", "1e9", "--shares", "1,2"), "--shares: 2 numbers for 1 sources"),
        (("--tokens", "1e9", "--shares", "0"), "--shares: every number must be greater than 0"),
        (("--tokens", "0", "--shares", "1"), "--tokens 0 must be greater than 0"),
        (("--tokens", "1e9", "--shares", "1", "--recipe", "x"), "x: no such file"),
    ],
)
def test_mistakes(words: tuple[str, ...], error: str, tmp_path: Path, corpus: CorpusCommand) -> None:
    status, _, printed = corpus("mix", folders(tmp_path, UNIQUE)[0], *words)
    assert status == 2 and error in printed


def test_a_folder_that_is_not_done(tmp_path: Path, corpus: CorpusCommand) -> None:
    (tmp_path / "x").mkdir()
    status, _, error = corpus("mix", tmp_path / "x", "--tokens", "1e9", "--shares", "1")
    assert status == 2 and "ledger.json: no such file; expected a folder that `camelid corpus read` or `build`" in error
