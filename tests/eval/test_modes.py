"""Every table that is keyed by the judging mode knows every mode."""

from typing import get_args

from eval import boards, canary, judge, prompts, report, results

MODES = set(get_args(results.Mode))


def test_no_table_forgets_a_mode() -> None:
    for table in (judge.SAMPLING, boards.BOUNDS, canary.LIMITS, results.SCALES, report.METHODS):
        assert set(table) == MODES
    assert set(prompts.NAMES) == MODES - {"single"}  # the one that shows a single answer, and so names none
