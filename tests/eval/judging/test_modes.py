"""Every table that is keyed by the judging mode knows every mode."""

from importlib.resources import files
from typing import get_args

import pytest

from eval import command, results
from eval.judging import canary, judge, prompts
from eval.numbers import boards
from eval.report import page as report

MODES = set(get_args(results.Mode))
TABLES = {
    "results.SCALES": results.SCALES,
    "judge.SAMPLING": judge.SAMPLING,
    "boards.BOUNDS": boards.BOUNDS,
    "canary.LIMITS": canary.LIMITS,
    "report.METHODS": report.METHODS,
    "command.MODES": command.MODES,
    "prompts.NAMES": {*prompts.NAMES, "single"},  # which shows one answer, and so names none
    "data/judge_MODE.txt": {mode for mode in MODES if files("eval").joinpath(f"data/judge_{mode}.txt").is_file()},
}


@pytest.mark.parametrize("table", TABLES)
def test_it_knows_every_mode(table: str) -> None:
    assert set(TABLES[table]) == MODES
