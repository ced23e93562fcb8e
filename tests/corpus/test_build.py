"""A whole corpus: every planted fault under its reason, however work is shared out and however often it is killed."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from camelid.files.write import write_jsonl
from corpus import source_run
from tests.corpus import planted
from tests.corpus.conftest import CorpusCommand, ledger, records, texts, tree

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "recipes" / "corpus" / "llama1.yaml"


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planted") / "raw"
    planted.plant(folder)
    write_jsonl(folder.parent / "questions.jsonl", [{"question_id": 1, "turns": [planted.QUESTION]}])
    return folder


def command(raw: Path, output: Path, *more: object) -> list[str]:
    """`llama1.yaml` with its reader of Common Crawl as it is, and the evaluation questions of the planted corpus."""
    words = ["build", RECIPE, f"decontaminate=[{raw.parent / 'questions.jsonl'}]", "--raw", raw, "--output", output]
    return [str(word) for word in (*words, "--quiet", *more)]


@pytest.fixture(scope="module")
def built(raw: Path) -> Path:
    from camelid.app.cli import main

    output = raw.parent / "corpus"
    assert main(["corpus", *command(raw, output)]) == 0
    return output


@pytest.mark.parametrize("source", planted.WANTED)
def test_every_fault_is_counted_under_its_reason(source: str, built: Path) -> None:
    read, kept, dropped = planted.WANTED[source]
    documents = ledger(built / source)
    reasons = {reason: count for reason, count in documents.dropped.items() if not reason.startswith("not source code")}
    assert reasons == dropped and documents.kept == kept == len(records(built / source))
    assert documents.read - (5 if source == "github" else 0) == read  # five licence files


def test_all_together(built: Path) -> None:
    assert sum(read for read, _, _ in planted.WANTED.values()) == 1000
    lines = ledger(built / "commoncrawl", "lines")
    assert lines.dropped == {"line seen before": planted.LINES_OF_MENUS}
    assert not any("Home" in text for text in texts(built / "commoncrawl"))
    assert ledger(built / "stackexchange", "posts").dropped == planted.POSTS
    assert ledger(built / "wikipedia", "templates").dropped == {"left out: unknown": 135 - 7}
    assert not any(planted.QUESTION in text for source in planted.WANTED for text in texts(built / source))
    assert not list(built.rglob("work"))
    train = yaml.safe_load((built / "mixture.yaml").read_text())["data"]["train"]
    assert [Path(source["path"]).parent.name for source in train] == list(planted.WANTED)
    card = (built / "card.html").read_text()
    assert "commoncrawl" in card and "dropped: more than 90% of it in another" in card and "<td>MIT</td>" in card


def test_seven_tasks_give_what_one_gives(raw: Path, built: Path, tmp_path: Path, corpus: CorpusCommand) -> None:
    assert corpus(*command(raw, tmp_path / "corpus", "--tasks", 7))[0] == 0
    assert comparable(tmp_path / "corpus") == comparable(built)


def comparable(folder: Path) -> dict[str, bytes]:
    """All files; what names the output folder itself says so by the same name."""
    name = str(folder).encode()
    return {path: content.replace(name, b"OUTPUT") for path, content in tree(folder).items()}


def test_stopped_at_any_write(
    raw: Path, built: Path, tmp_path: Path, corpus: CorpusCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every so many files the process ends, once the file is there."""
    done = 0

    def stop_after(write):  # type: ignore[no-untyped-def]
        def stopping(*given, **more):  # type: ignore[no-untyped-def]
            nonlocal done
            result = write(*given, **more)
            done += 1
            if done % 17 == 0:
                raise KeyboardInterrupt
            return result

        return stopping

    for name in ("write_json", "write_packed_jsonl", "write_bytes"):
        monkeypatch.setattr(source_run, name, stop_after(getattr(source_run, name)))
    runs = 1
    while corpus(*command(raw, tmp_path / "corpus"))[0] != 0:
        runs += 1
    assert runs > 5 and comparable(tmp_path / "corpus") == comparable(built)


def test_another_recipe_needs_another_folder(raw: Path, built: Path, corpus: CorpusCommand) -> None:
    before = comparable(built)
    status, _, error = corpus(*command(raw, built), "tokens=1e9")
    assert status == 2 and "was begun with other options (asked.json); name another --output" in error
    assert corpus(*command(raw, built))[0] == 0 and comparable(built) == before


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ("sources.c4.reader=c5", "sources.c4: reader 'c5' is unknown; known: arxiv, c4, code"),
        ("sources.c4.settings={min: 3}", "unknown key 'min'"),
        ("sources.books.dedup_settings={over: 2}", "over: must be between 0 and 1, found 2.0"),
        ("sources.books.inputs=[nowhere]", "raw/nowhere: no such file or folder"),
        (
            "sources.wikipedia.keep={languages: [english]}",
            "language 'english' must be a code of two or three small letters",
        ),
        ("tokens=0", "tokens = 0 must be greater than 0"),
    ],
)
def test_mistakes_in_a_recipe(change: str, error: str, raw: Path, tmp_path: Path, corpus: CorpusCommand) -> None:
    status, _, printed = corpus(*command(raw, tmp_path / "out"), change)
    assert status == 2 and error in printed, printed


def test_on_datatroves_executor(tmp_path: Path, corpus: CorpusCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stages as Ray runs them, by datatrove's executor for one machine in its place; and without datatrove."""
    runs = pytest.importorskip("camelid.text.datatrove_runs", reason="datatrove is not installed (extra scale)")
    from datatrove.executor.local import LocalPipelineExecutor

    source = tmp_path / "in"
    for number in range(3):
        write_jsonl(source / f"{number}.jsonl", ({"text": f"text {number // 2} {at}"} for at in range(4)))
    words = ("dedup", source, "--by", "exact", "--tasks", 2, "--quiet")
    assert corpus(*words, "--output", tmp_path / "here")[0] == 0
    monkeypatch.setattr(runs, "_executor", lambda name: LocalPipelineExecutor)
    assert corpus(*words, "--output", tmp_path / "there", "--executor", "ray")[0] == 0
    assert (tmp_path / "there" / "logs" / "exact-write").is_dir()
    shutil.rmtree(tmp_path / "there" / "logs")
    assert comparable(tmp_path / "there") == comparable(tmp_path / "here")
    assert texts(tmp_path / "here") == [f"text {group} {at}" for group in (0, 1) for at in range(4)]


@pytest.mark.slow
def test_killed_at_random(raw: Path, built: Path, tmp_path: Path) -> None:
    rng = random.Random(0)
    words = [sys.executable, "-c", "from camelid.app.cli import main; raise SystemExit(main())", "corpus"]
    words += command(raw, tmp_path / "corpus", "--workers", 2, "--tasks", 3)
    kills = 0
    while True:
        with subprocess.Popen(
            words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        ) as run:
            try:
                status = run.wait(timeout=(1 + rng.random() * 3) * (1 + kills / 5))  # ends on a busy machine, too
            except subprocess.TimeoutExpired:
                os.killpg(run.pid, signal.SIGKILL)
                kills += 1
                time.sleep(0.1)
                continue
        assert status == 0
        break
    assert kills > 2 and comparable(tmp_path / "corpus") == comparable(built)
