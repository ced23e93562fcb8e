"""The whole job, killed in every stage, comes out the same."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from camelid.files.read import file_hash

COMMAND = [sys.executable, "-m", "camelid.app.cli", "demo", "--output", "run", "--records", "100", "--updates", "40"]
OVERRIDE = {"PYTHONPATH": str(Path(__file__).parents[1]), "PYTHONUNBUFFERED": "1"}
STAGES = 8


def finish(folder: Path) -> str:
    env = {**os.environ, **OVERRIDE}
    result = subprocess.run(COMMAND, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def kill_in_stage(folder: Path, number: int, delay: float) -> None:
    """Start the demo, wait for the stage's heading (in training: for a checkpoint), kill everything."""
    log = folder / f"stage-{number}.log"
    with log.open("w") as out:
        env = {**os.environ, **OVERRIDE}
        process = subprocess.Popen(COMMAND, cwd=folder, env=env, stdout=out, stderr=out, start_new_session=True)
    trained = folder / "run" / "tuned" / "metrics.jsonl"
    while f"\n{number}. " not in "\n" + log.read_text() or (
        number == 4 and not (trained.exists() and trained.read_bytes().count(b"\n") > 28)
    ):
        assert process.poll() is None, log.read_text()
        time.sleep(0.02)
    time.sleep(delay)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def hashes(folder: Path) -> dict[str, str]:
    files = ["instructions.jsonl", "conversations.jsonl", "untrained/model.safetensors", "untrained/tokenizer.json"]
    files += ["tuned/model/model.safetensors", "eval/answers/untrained.jsonl", "eval/answers/tuned.jsonl"]
    files += ["eval/judgments/single/offline.jsonl", "eval/results.json", "eval/report.html"]
    return {name: file_hash(folder / "run" / name) for name in files}


def assert_equal_to_transformers(folder: Path) -> None:
    """Logits to 1e-5 and every gradient to 1e-5 relative, on random tokens."""
    import torch
    from transformers import AutoModelForCausalLM

    from finetune.folders import weights
    from finetune.llama.attention import Documents

    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ours = weights.load_model(folder, dtype=torch.float32)
    ids = torch.randint(0, ours.config.vocab_size, (100,), generator=torch.Generator().manual_seed(0))
    their_logits = theirs(ids[None]).logits[0]
    our_logits = ours(ids, torch.arange(100), Documents.from_lengths([100]))
    torch.testing.assert_close(our_logits, their_logits, atol=1e-5, rtol=1e-5)
    for logits in (their_logits, our_logits):
        torch.nn.functional.cross_entropy(logits[:-1], ids[1:]).backward()
    expected = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        assert parameter.grad is not None and expected[name].grad is not None
        error = (parameter.grad - expected[name].grad).norm() / expected[name].grad.norm()
        assert error < 1e-5, (name, float(error))


@pytest.mark.slow
def test_killed_in_every_stage(tmp_path: Path) -> None:
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    straight.mkdir()
    killed.mkdir()
    finish(straight)
    assert_equal_to_transformers(straight / "run" / "tuned" / "model")
    for number in range(1, STAGES + 1):
        kill_in_stage(killed, number, delay=0.1 * number)
        for journal in killed.rglob("*.journal.jsonl"):
            keys = [json.loads(line)["key"] for line in journal.read_bytes().split(b"\n")[:-1]]
            assert len(keys) == len(set(keys))  # nothing answered was sent again
    log = finish(killed)
    assert hashes(killed) == hashes(straight)
    assert "already finished" in log and " 0 requests sent" in log.replace("\n", " ")
    resumed = (killed / "stage-5.log").read_text()
    assert "resumed from run/tuned/checkpoints/update-" in resumed
    for folder in (straight, killed):
        updates = [json.loads(line)["update"] for line in (folder / "run/tuned/metrics.jsonl").read_text().splitlines()]
        assert updates == list(range(1, 41))
