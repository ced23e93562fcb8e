"""One data set gives the same rows however it is named, and what is broken in it is said before it is tokenised."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, DatasetDict, load_dataset
from transformers import AutoTokenizer

from camelid.errors import UserError
from conversations.tokens.tokenize import Encoder
from finetune.data.sources import read_source, source_fingerprint
from finetune.data.token_data import load_tokens
from finetune.recipe import DataSection, DataSource, read_recipe
from tests.finetune.runs import run, variant


def records(start: int, count: int) -> list[dict[str, Any]]:
    return [
        {"id": f"r{n}", "messages": [{"role": r, "content": f"{r} {n}"} for r in ("user", "assistant")]}
        for n in range(start, start + count)
    ]


TRAIN, TEST = records(0, 6), records(100, 3)


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def saved_splits(folder: Path) -> None:
    DatasetDict({"test": Dataset.from_list(TEST), "train": Dataset.from_list(TRAIN)}).save_to_disk(str(folder))


def parquet_shards(folder: Path) -> None:
    (folder / "data").mkdir(parents=True)
    for number in range(2):
        part = Dataset.from_list(TRAIN[number * 3 : number * 3 + 3])
        part.to_parquet(str(folder / "data" / f"train-0000{number}-of-00002.parquet"))
    Dataset.from_list(TEST).to_parquet(str(folder / "data" / "test-00000-of-00001.parquet"))


def named_jsonl(folder: Path) -> None:
    write_jsonl(folder / "train.jsonl", TRAIN)
    write_jsonl(folder / "test.jsonl", TEST)


def by_its_card(folder: Path) -> None:
    write_jsonl(folder / "a.jsonl", TRAIN)
    write_jsonl(folder / "b.jsonl", TEST)
    lines = ["---", "configs:", "- config_name: default", "  data_files:"]
    lines += ["  - {split: train, path: a.jsonl}", "  - {split: test, path: b.jsonl}", "---", ""]
    (folder / "README.md").write_text("\n".join(lines))


MAKERS: list[Callable[[Path], None]] = [saved_splits, parquet_shards, named_jsonl, by_its_card]


@pytest.mark.parametrize("make", MAKERS)
def test_train_is_read_unless_another_split_is_named(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "folder")
    whole, test = DataSource(str(tmp_path / "folder")), DataSource(str(tmp_path / "folder"), split="test")
    assert [conversation.id for conversation in read_source(whole)] == [row["id"] for row in TRAIN]
    assert [conversation.id for conversation in read_source(test)] == [row["id"] for row in TEST]
    assert source_fingerprint(whole) != source_fingerprint(test)
    with pytest.raises(UserError, match=r"no split 'tests'; did you mean 'test'\?"):
        list(read_source(DataSource(whole.path, split="tests")))
    if make is not saved_splits:  # what `datasets` itself makes of the same folder
        assert load_dataset(whole.path, split="train")["id"] == [row["id"] for row in TRAIN]


def test_shards_without_splits_are_all_read_in_order(tmp_path: Path) -> None:
    for number in range(3):
        write_jsonl(tmp_path / f"part-{number}.jsonl", TRAIN[2 * number : 2 * number + 2])
    assert [each.id for each in read_source(DataSource(str(tmp_path)))] == [row["id"] for row in TRAIN]
    write_jsonl(tmp_path / "train-more.jsonl", TEST)  # by its name `train` is this one alone
    with pytest.raises(UserError, match=r"part-0\.jsonl: belongs to no split by its name"):
        list(read_source(DataSource(str(tmp_path))))


def test_folders_without_train_list_what_there_is(tmp_path: Path) -> None:
    DatasetDict({"eval": Dataset.from_list(TEST), "test": Dataset.from_list(TEST)}).save_to_disk(str(tmp_path / "d"))
    with pytest.raises(UserError, match="no split 'train'; name one as its split: eval, test"):
        list(read_source(DataSource(str(tmp_path / "d"))))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="doesn't contain any data files"):
        list(read_source(DataSource(str(tmp_path / "empty"))))


def test_configurations(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "one" / "x.jsonl", TRAIN)
    write_jsonl(tmp_path / "two" / "x.jsonl", TEST)
    lines = ["---", "configs:"]
    for name in ("one", "two"):
        lines += [f"- config_name: {name}", f"  data_files: {name}/*.jsonl"]
    (tmp_path / "README.md").write_text("\n".join([*lines, "---", ""]))
    assert [each.id for each in read_source(DataSource(str(tmp_path), config="two"))] == [row["id"] for row in TEST]
    with pytest.raises(UserError, match=r"Config name is missing\. Please pick one among .*'one', 'two'"):
        list(read_source(DataSource(str(tmp_path))))
    with pytest.raises(UserError, match="is one file; only folders and data sets have a split"):
        list(read_source(DataSource(str(tmp_path / "one" / "x.jsonl"), split="train")))


def test_the_last_record_is_checked_before_the_first_is_tokenised(
    tmp_path: Path, toy_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = {"id": "x", "messages": [{"role": "robot", "content": "?"}]}
    path = write_jsonl(tmp_path / "data.jsonl", [*TRAIN, broken])

    def encoded_too_early(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(Encoder, "encode", encoded_too_early)
    section = DataSection((DataSource(str(path)),), "vicuna_v1.1", max_length=128)
    with pytest.raises(UserError, match=r"7: messages\[0\]\.role: unknown role 'robot'"):
        load_tokens(tmp_path / "cache", section, AutoTokenizer.from_pretrained(toy_model), seed=0)


def test_home_and_infinity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    changes = ["data.train=[{path: ~/mine.jsonl}]", "model.path=~/llama", "run.output=~/runs/a"]
    recipe = read_recipe("recipes/smoke.yaml", changes)
    paths = recipe.data.train[0].path, recipe.model.path, recipe.run.output
    assert paths == tuple(f"{tmp_path}/{name}" for name in ("mine.jsonl", "llama", "runs/a"))
    for key in ("optim.lr", "optim.updates", "adapter.alpha", "run.checkpoint_every"):
        with pytest.raises(UserError, match=f"{key} must be a finite number, found inf"):
            read_recipe("recipes/smoke.yaml", [f"{key}=.inf"])
    with pytest.raises(UserError, match=r"weight must be a finite number, found nan"):
        read_recipe("recipes/smoke.yaml", ["data.train=[{path: a, weight: .nan}]"])


def test_a_run_trains_on_the_split_it_names(toy_recipe: dict[str, Any], toy_data: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in toy_data.read_text().splitlines()]
    splits = {"test": Dataset.from_list(rows[:5]), "train": Dataset.from_list(rows)}
    DatasetDict(splits).save_to_disk(str(tmp_path / "saved"))
    for name, source, expected in (("a", {}, len(rows)), ("b", {"split": "test"}, 5)):
        path = {"path": str(tmp_path / "saved"), **source}
        ours = variant(toy_recipe, name, data__train=[path], optim__updates=1)
        assert run(ours) == 0
        summary = json.loads((Path(ours["run"]["output"]) / "summary.json").read_text())
        assert summary["ledgers"][0]["read"] == expected
