"""An array in blocks of any size."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from camelid.files import json_array
from camelid.files.records import read_records


def values(path: Path) -> list[Any]:
    return [record for _, record in read_records(path)]


@pytest.mark.parametrize("block", [1, 2, 3, 7, 64])
def test_an_array_reads_the_same_in_blocks_of_any_size(tmp_path: Path, block: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(json_array, "_BLOCK", block)
    rng = Random(block)
    for _ in range(60):
        records = [
            {"a": rng.choice(["x", 'q"\\', "😀", -12.5, True, None, [1, {}], ""]), "b": {}}
            for _ in range(rng.randint(0, 4))
        ]
        path = tmp_path / "a.json"
        path.write_text(
            rng.choice(["", "\ufeff", " \n"])
            + json.dumps(records, indent=rng.choice([None, 2]), ensure_ascii=rng.random() < 0.5)
            + "\n"
        )
        assert values(path) == records


@pytest.mark.parametrize("block", [1, 2, 5, 64])
def test_objects_read_the_same_in_blocks_of_any_size(tmp_path: Path, block: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(json_array, "_BLOCK", block)
    rng, path = Random(block), tmp_path / "a.json"
    for _ in range(60):
        records = [
            {"a": rng.choice(["x", 'q"\\', "}", "😀", -12.5, None, [1, {}], ""]), "data": [], "b": {}}
            for _ in range(rng.randint(1, 4))
        ]
        start = rng.choice(["", "\ufeff", " \n"])
        path.write_text(start + "\n".join(json.dumps(record, indent=2) for record in records))
        assert values(path) == records
        path.write_text(start + json.dumps({"a": [1], "data": records, "c": "}"}, indent=rng.choice([None, 2])))
        assert values(path) == records
