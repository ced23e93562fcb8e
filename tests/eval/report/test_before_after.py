"""Before and after on several sets: the numbers are the reports', and a finding says no more than its interval."""

from dataclasses import replace
from pathlib import Path

import pytest

from camelid.app.cli import main
from camelid.files.write import write_json
from eval.numbers.boards import Comparing
from eval.numbers.summarise import summarise
from eval.report.before_after import SetChange, read_changes
from eval.results import Estimate, Results
from tests.eval.known_judgments import QUESTIONS, graded, paired, said, single


def write(folder: Path, results: Results) -> Path:
    write_json(folder / "results.json", results.to_json())
    return folder


def test_several_sets_in_one_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    domain, general = write(tmp_path / "domain", single(2)), write(tmp_path / "general", single(-0.5))
    output = tmp_path / "both.html"
    command = ["eval", "compare", str(domain), str(general), "--before", "a", "--after", "b", "--output", str(output)]
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| question set | a | b | change | finding |"
    [up] = single(2).boards[0].differences
    assert "| domain | " in lines[2] and f"{up.gap.mean:+.2f} (" in lines[2] and lines[2].endswith("of 10 | up |")
    assert lines[3].startswith("| general | ") and "-0." in lines[3]
    page = output.read_text()
    assert f"<b>+{up.gap.mean:.2f}</b>" in page and "b against a on 2 question sets" in page and "<script" not in page


def test_the_direction_is_from_before_to_after(tmp_path: Path) -> None:
    folder = write(tmp_path / "x", single(2))
    [forth], [back] = (read_changes([folder], *pair) for pair in (("a", "b"), ("b", "a")))
    assert forth.change.mean == -back.change.mean > 0 and (forth.finding, back.finding) == ("up", "down")
    assert (forth.change.low, forth.change.high) == (-(back.change.high or 0), -(back.change.low or 0))


def test_a_baseline_is_compared_by_the_distance_from_even(tmp_path: Path) -> None:
    folder = write(tmp_path / "x", summarise("t", QUESTIONS, said("x", "y"), paired("alpaca", 0.9)))
    [after] = read_changes([folder], "y", "x")
    assert after.after is not None and after.change.mean == after.after.mean - 50 and after.finding == "up"
    [before] = read_changes([folder], "x", "y")
    assert before.change.mean == -after.change.mean and before.finding == "down"


@pytest.mark.parametrize(
    ("low", "high", "finding"),
    [
        (0.1, 2.0, "up"),
        (-2.0, -0.1, "down"),
        (-0.4, 0.4, "kept, within 0.45"),
        (-0.5, 0.4, "not known"),
        (None, None, "one question"),
    ],
)
def test_findings(low: float | None, high: float | None, finding: str) -> None:
    change = SetChange("x", single(0), None, None, Estimate(0.0, low, high, 0.1, 40, 40))
    assert change.finding.startswith(finding)


def test_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    many = [one for place, label in enumerate("abc") for one in graded(label, place, seed=place)]
    folder = write(tmp_path / "x", summarise("t", QUESTIONS, said(*"abc"), many, comparing=Comparing("a")))

    def error(*more: str) -> str:
        assert main(["eval", "compare", *more]) == 2
        return capsys.readouterr().err

    assert "b and c are not compared there; report it with --own c" in error(
        str(folder), "--before", "b", "--after", "c"
    )
    unknown = error(str(folder), "--before", "a", "--after", "z")
    assert "no model is called 'z'" in unknown and "compared with --questions FILE" in unknown
    assert "no report there" in error(str(tmp_path / "y"), "--before", "a", "--after", "b")


def test_an_incomplete_set_is_told(tmp_path: Path) -> None:
    lacking = summarise("t", QUESTIONS, said("a", "b"), (graded("a", 0) + graded("b", 1, seed=1))[:-1])
    folder, output = write(tmp_path / "x", replace(lacking, title="t")), tmp_path / "o.html"
    assert main(["eval", "compare", str(folder), "--before", "a", "--after", "b", "--output", str(output)]) == 0
    assert "x is incomplete: 79 of 80 judgments." in output.read_text()
