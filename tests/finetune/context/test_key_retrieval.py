"""Keys in code: prompts are as long and the keys as deep as was asked, and who reads finds them."""

import json
import re
from itertools import product
from pathlib import Path

import pytest

from camelid.app.cli import main
from finetune.context.key_retrieval import KeyQuestion, ask_for_key, share_right

LENGTHS, DEPTHS = (512, 1024, 3000), (0.0, 0.25, 0.5, 1.0)


def words(text: str) -> int:
    return len(re.findall(r"\w+|[^\w\s]|\s+", text))


@pytest.fixture(scope="module")
def questions() -> list[KeyQuestion]:
    return [ask_for_key(length, depth, seed, words) for length, depth, seed in product(LENGTHS, DEPTHS, range(3))]


def read(prompt: str, last: int) -> str:
    """What a reader answers who remembers the last characters alone."""
    [name] = re.findall(r"assert (\w+)\(\) == $", prompt)
    found = re.search(rf'def {name}\(\):\n    """Return the key."""\n    return (\d+)', prompt[-last:])
    return f"{found[1]}\n" if found else "12"


def test_prompts_are_code_of_the_length_with_the_key_at_its_place(questions: list[KeyQuestion]) -> None:
    for question in questions:
        assert 0.9 * question.length < words(question.prompt) < question.length
        code, _, _ = question.prompt.rpartition("# What")
        compile(code, "prompt", "exec")
        place = code.index("def key_") / (len(code) - len("def key_area():\n") * 4)
        assert place == pytest.approx(question.depth, abs=0.12)
    assert len({question.key for question in questions}) == len(questions)


def test_who_reads_all_finds_all_and_who_forgets_does_not(questions: list[KeyQuestion]) -> None:
    shares = share_right(questions, [read(question.prompt, 10**6) for question in questions])
    assert shares == dict.fromkeys(product(LENGTHS, DEPTHS), 1.0)
    forgetful = share_right(questions, [read(question.prompt, 600) for question in questions])
    assert all(forgetful[length, 1.0] == 1 and forgetful[length, 0.0] == 0 for length in LENGTHS)


def test_a_longer_number_is_not_the_key() -> None:
    question = KeyQuestion(1, 0.0, "", "12345")
    assert question.is_right(" 12345\n") and question.is_right("12345)")
    assert not question.is_right("123456") and not question.is_right("1234") and not question.is_right("")


def test_the_command_writes_a_table(lively_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, output = tmp_path / "long", tmp_path / "out"
    assert main(["weights", "rope", str(lively_model), str(model), "--context", "900"]) == 0
    command = ["finetune", "retrieval", str(model), "--lengths", "400", "800", "--depths", "0", "1", "--samples", "1"]
    assert main([*command, "--output", str(output)]) == 0
    record = json.loads((output / "retrieval.json").read_text())
    assert [(one["length"], one["depth"], one["right"]) for one in record["shares"]] == [
        (400, 0.0, 0.0), (400, 1.0, 0.0), (800, 0.0, 0.0), (800, 1.0, 0.0),
    ]  # fmt: skip
    assert (output / "retrieval.svg").is_file() and "800 tokens:   0%" in capsys.readouterr().out
    assert main([*command[:3], "--lengths", "900", "--output", str(output)]) == 2
    assert "from 256 to 884, as prompt and answer share the model's 900 tokens" in capsys.readouterr().err
