"""Names of files: no two outputs share what is beside them, no two evaluation files a name."""

from itertools import combinations
from pathlib import Path

import pytest

from camelid.errors import UserError
from camelid.files.paths import beside, short_names


def test_outputs_whose_names_look_alike_share_nothing(tmp_path: Path) -> None:
    names = ["x.jsonl", "x.json", "x.1", "x.1.jsonl", "x.2", "gpt-4.1", "gpt-4.5", "gpt-4.jsonl", "x.jsonl.gz"]
    for one, other in combinations(names, 2):
        if {one, other} != {"x.1", "x.1.jsonl"}:
            assert beside(tmp_path / one, ".ledger.json") != beside(tmp_path / other, ".ledger.json"), (one, other)
    assert beside(tmp_path / "x.jsonl", ".ledger.json") == tmp_path / "x.ledger.json"  # as 0.1.0 called it
    (tmp_path / "x.1").touch()
    with pytest.raises(UserError, match=r"x\.1 is there, whose x\.1\.ledger\.json it would share"):
        beside(tmp_path / "x.1.jsonl", ".ledger.json")


def test_evaluation_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    paths = [tmp_path / folder / "q" / "question.jsonl" for folder in "ab"]
    assert set(short_names(paths)) == {"a/q/question.jsonl", "b/q/question.jsonl"}
    assert set(short_names(paths[:1])) == set(short_names(paths[:1] * 2)) == {"q/question.jsonl"}
    assert short_names(["eval/data/questions_single.jsonl"])["data/questions_single.jsonl"].is_file()  # Camelid's own
