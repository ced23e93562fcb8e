"""lm-evaluation-harness runs multiple choice against the server, and finds what its own `hf` model finds."""

import json
import random
import subprocess
from pathlib import Path

import pytest

from tests.finetune.conftest import WORDS
from tests.finetune.serve.client_environments import client_python
from tests.finetune.serve.serving import Running

TASK = """task: words
dataset_path: json
dataset_kwargs: {data_files: {test: FILE}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: "{{choices}}"
doc_to_target: answer
target_delimiter: " "
metric_list: [{metric: acc}]
"""


@pytest.mark.slow
def test_multiple_choice_is_as_its_own_model_has_it(running: Running, lively_model: Path, tmp_path: Path) -> None:
    rng, lines = random.Random(0), []
    for _ in range(40):
        choices = [" ".join(rng.choices(WORDS, k=rng.randint(1, 4))) for _ in range(3)]
        question = " ".join(rng.choices(WORDS, k=rng.randint(2, 12)))
        lines.append(json.dumps({"question": question, "choices": choices, "answer": rng.randrange(3)}))
    (tmp_path / "words.jsonl").write_text("\n".join(lines))
    (tmp_path / "words.yaml").write_text(TASK.replace("FILE", str(tmp_path / "words.jsonl")))
    script = Path(__file__).parent / "client_scripts" / "use_lm_eval.py"
    command = [str(client_python("lm_eval")), str(script), running.url, str(lively_model), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    own, ours = json.loads(done.stdout.strip().splitlines()[-1])
    assert ours["accuracy"] == own["accuracy"] and ours["greedy"] == own["greedy"]
    for mine, truth in zip(ours["logprobs"], own["logprobs"], strict=True):
        assert mine == pytest.approx(truth, abs=1e-3)
