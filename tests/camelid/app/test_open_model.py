"""What `--model` and the options beside it come to."""

import argparse
from pathlib import Path

import pytest

from camelid.app.open_model import add_model_arguments, open_model
from camelid.models.model_run import ModelRun


def opened(folder: Path, *arguments: str) -> ModelRun:
    parser = argparse.ArgumentParser()
    add_model_arguments(parser)
    return open_model(parser.parse_args(arguments), folder / "journal.jsonl")


@pytest.mark.parametrize("name", ["gpt-4o-mini", "gpt-4o-mini-2024-07-18", "openai/gpt-4o-mini"])
def test_a_known_name_has_its_list_price_at_any_server(name: str, tmp_path: Path) -> None:
    model = opened(tmp_path, "--model", name, "--base-url", "http://127.0.0.1:9/v1", "--max-cost", "1")
    with model:
        assert model.to_json()["price_usd_per_million"] == [0.15, 0.60]  # openai.com/api/pricing
        assert "list price of 20" in model.summary() and model.to_json()["price_from"].startswith("list price of 20")
    given = opened(tmp_path, "--model", name, "--base-url", "http://127.0.0.1:9/v1", "--price", "1,2")
    with given:
        assert given.to_json()["price_usd_per_million"] == [1, 2] and given.to_json()["price_from"] == "--price"


def test_a_name_without_a_price_says_so(tmp_path: Path) -> None:
    with opened(tmp_path, "--model", "house-7b", "--base-url", "http://127.0.0.1:9/v1") as model:
        assert "price unknown: house-7b is not in the list of prices, see --price" in model.summary()
