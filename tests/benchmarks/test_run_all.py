"""`make bench` with made-up scripts: what is measured, missed, skipped or broken all reaches the table."""

import json
from pathlib import Path

import pytest

from benchmarks import run_all

RESULT = {
    "name": "good",
    "met": False,
    "results": [
        {"what": "speed", "ours": 20000, "peer": 1.5, "ratio": 3.25, "bar": ">= 3", "met": True, "spread": [3.1, 3.4]},
        {"what": "fill | rows", "ours": 0.99962, "peer": None, "ratio": None, "bar": 0.9999, "met": False},
        {"what": "memory", "ours": 9, "peer": 3, "ratio": 3, "bar": "<= 2", "met": False, "why": "a buffer is kept"},
    ],
    "skipped": ["tokens/s of a GPU: no CUDA device"],
}


def write(folder: Path, name: str, body: str) -> None:
    (folder / f"{name}.py").write_text(f'def main():\n    {body}\n\n\nif __name__ == "__main__":\n    main()\n')


def cells(page: str, start: str) -> list[str]:
    [line] = [line for line in page.splitlines() if line.startswith(f"| {start}")]
    return [cell.strip() for cell in line.strip("|").replace("\\|", "/").split("|")]


def test_the_table_holds_every_outcome(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "bad", "raise SystemExit('the peer failed')")
    write(tmp_path, "good", f"print('on its way'); print({json.dumps(RESULT)!r})")
    write(tmp_path, "silent", "pass")
    (tmp_path / "peers.py").write_text("raise AssertionError('a module, no benchmark')\n")
    assert run_all.run_all(tmp_path) == 1  # two scripts crashed; the others went on
    page = (tmp_path / "RESULTS.md").read_text()
    assert cells(page, "speed") == ["speed", "20,000", "1.5", "3.25", "3.1 to 3.4", ">= 3", "yes"]
    assert cells(page, "fill") == ["fill / rows", "0.99962", "-", "-", "-", ">= 0.9999", "**missed**"]
    assert cells(page, "tokens/s") == ["tokens/s of a GPU: no CUDA device", "", "", "", "", "", "not run"]
    assert cells(page, "crashed: exit status 1")[0].endswith("the peer failed")
    assert "exit status 0: it printed nothing" in page
    assert "Missed (memory): a buffer is kept.\n" in page
    assert "Missed (fill | rows): not known yet.\n" in page
    assert "1 of 3 measured bars are met, 2 missed; 1 not run here; 2 scripts without a result" in page
    assert "peers" not in [line.removeprefix("## ") for line in page.splitlines()]
    assert "on its way" in capfd.readouterr().out


def test_a_missed_bar_is_a_result_and_a_cut_run_leaves_what_it_measured(tmp_path: Path) -> None:
    write(tmp_path, "a_good", f"print({json.dumps(RESULT)!r})")
    assert run_all.run_all(tmp_path) == 0
    write(tmp_path, "b_killed", "import os, signal; os.kill(os.getppid(), signal.SIGINT); import time; time.sleep(1)")
    with pytest.raises(KeyboardInterrupt):
        run_all.run_all(tmp_path)
    page = (tmp_path / "RESULTS.md").read_text()
    assert "| speed |" in page and "not reached" in page.split("## b_killed")[1]


def test_the_scripts_found_are_the_benchmarks() -> None:
    names = {path.stem for path in run_all.scripts(run_all.HERE)}
    assert {"rouge_filter", "conversations", "mask", "packing", "train_cpu", "llama", "train_gpu", "judge"} <= names
    assert not names & {"peers", "run_all", "lengths"}
