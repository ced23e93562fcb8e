"""Results of every mode survive their file."""

import json

import pytest

from camelid.files.write import write_json
from eval.numbers.summarise import summarise
from eval.results import Results
from tests.eval.known_judgments import QUESTIONS, paired, said, single


def test_results_survive_their_file(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("r") / "results.json"
    for results in (
        single(1),
        *(summarise("t", QUESTIONS, said("x", "y"), paired(mode, 0.7)) for mode in ("pairwise", "vicuna", "alpaca")),
    ):
        write_json(path, results.to_json())
        assert Results.from_json(json.loads(path.read_text())) == results
