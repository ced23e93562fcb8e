"""What every `dedup` shares: any kind of records, a run that was stopped, options of an executor, words."""

import argparse
import gzip
import json
import pickle
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import camelid.text
from camelid.errors import UserError
from camelid.files.read import read_json
from camelid.text.corpus_kind import CorpusKind, ReasonToDrop, RecordParts, TextComparison
from camelid.text.datatrove_runs import SplitWords, parse_options
from camelid.text.dedup_command import add_dedup_arguments, dedup_corpus
from camelid.text.words import unicode_tokens


def read(folder: Any, path: str) -> Iterator[tuple[str, Any]]:
    with folder.open(path, "rt") as file:
        yield from ((path, json.loads(line)) for line in file)


def text(record: Any, place: str) -> str:
    return str(record["text"])


def count_lines(record: Any) -> int:
    return int(record["lines"])


def is_banned(record: Any) -> str | None:
    return "banned" if "banned" in record["text"] else None


def keep_out(paths: Sequence[str]) -> ReasonToDrop:
    return is_banned


POEMS = CorpusKind(
    "poems",
    read,
    text,
    TextComparison(unicode_tokens, 3),
    "a copy",
    keep_out,
    RecordParts("lines", count_lines, "gone"),
)
TEXTS = ["one two three four", "five six seven eight", "a banned poem it is", "ten twenty thirty forty", "so short"]


def dedup(folder: Path, *options: str, kind: CorpusKind = POEMS) -> tuple[dict[str, Any], ...]:
    parser = argparse.ArgumentParser()
    add_dedup_arguments(parser, "poems", "poems")
    (folder / "banned").touch()
    words = ["--output", str(folder / "out"), "--decontaminate", str(folder / "banned"), *options]
    assert dedup_corpus(parser.parse_args([str(folder / "in"), *words]), kind) == 0
    return tuple(read_json(folder / "out" / "ledger.json")["ledgers"])


def write(folder: Path, name: str, texts: list[str]) -> None:
    folder.mkdir(exist_ok=True)
    lines = (json.dumps({"text": one, "lines": number}) + "\n" for number, one in enumerate(texts, start=1))
    (folder / name).write_text("".join(lines))


def test_records_and_their_parts_add_up_also_after_a_run_that_was_stopped(tmp_path: Path) -> None:
    write(tmp_path / "in", "a.jsonl", TEXTS)
    write(tmp_path / "in", "b.jsonl", [*TEXTS[:2], "something else it is", "so short"])
    poems, lines = whole = dedup(tmp_path, "--tasks", "3")  # more than there are files
    assert poems["dropped"] == {"a copy": 2, "banned": 1} and (poems["read"], poems["kept"]) == (9, 6)
    files = (gzip.decompress(path.read_bytes()) for path in (tmp_path / "out" / "data").iterdir())
    out = [line for content in files for line in content.splitlines()]
    assert len(out) == 6 and lines["kept"] == sum(json.loads(line)["lines"] for line in out)
    assert lines["read"] == 15 + 10 and lines["dropped"] == {"gone": 25 - lines["kept"]}
    logs = tmp_path / "out" / "logs" / "filter"
    (logs / "stats.json").unlink()
    (logs / "completions" / "00001").unlink()
    assert dedup(tmp_path, "--tasks", "3") == whole


def test_parts_are_counted_only_where_a_kind_has_them(tmp_path: Path) -> None:
    write(tmp_path / "in", "a.jsonl", TEXTS)
    kind = CorpusKind("poems", read, text, TextComparison(unicode_tokens, 3), "a copy", keep_out)
    [poems] = dedup(tmp_path, kind=kind)
    assert poems["dropped"] == {"a copy": 0, "banned": 1} and poems["kept"] == 4


def test_options_are_the_executors_own() -> None:
    assert parse_options(["local_tasks=2", "start_method=fork"], "local") == {"local_tasks": 2, "start_method": "fork"}
    with pytest.raises(UserError, match="--executor-option worker=2: expected KEY=VALUE; did you mean 'workers'"):
        parse_options(["worker=2"], "local")
    with pytest.raises(UserError, match=r"add --executor-option partition=\.\.\. time=\.\.\.$"):
        parse_options([], "slurm")


def test_words_are_split_by_a_function_and_reach_other_machines() -> None:
    splitter = pickle.loads(pickle.dumps(SplitWords(unicode_tokens)))
    assert splitter.word_tokenize("Ein Wort, 春天") == ["ein", "wort", "春", "天"]


def test_without_datatrove_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("datatrove_runs", "dedup_stages"):
        monkeypatch.delitem(sys.modules, f"camelid.text.{name}", raising=False)
        monkeypatch.delattr(camelid.text, name, raising=False)
    for name in [name for name in sys.modules if name.startswith("datatrove")]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=r"dedup needs datatrove .*; pip install 'camelid\[scale\]'$"):
        dedup(tmp_path)
