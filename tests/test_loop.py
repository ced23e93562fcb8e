"""The loop closed: models trained here are teacher, contestant and judge behind their own server."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import pytest
import torch

from camelid.app.cli import main
from camelid.files.read import read_json, read_jsonl
from camelid.files.write import write_jsonl
from camelid.message import Conversation, Message
from conversations.tokens.template import get_template
from conversations.tokens.tokenize import Encoder
from eval.ask.questions import read_questions
from eval.judging.judge import plan_requests
from eval.judging.modes.single import SINGLE
from finetune.folders import weights
from finetune.folders.tokenizer import train_tokenizer
from finetune.llama.attention import Documents
from finetune.llama.config import LlamaConfig

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
TEACHER = (
    " Name the month that follows May.\n4. Input:\n<noinput>\n4. Output:\nJune follows May.\n###\n"
    "5. Instruction: Turn the sentence into a question.\n5. Input:\nThe owl sleeps by day.\n"
    "5. Output:\nDoes the owl sleep by day?\n###"
)
JUDGE = "The answer says too little. Rating: [[4]]"
UPDATES = 400
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def learn_by_heart(folder: Path, prompts: Sequence[Sequence[Message]], answer: str) -> None:
    """A small model that gives one answer to everything."""
    torch.manual_seed(0)
    template = get_template("vicuna_v1.1")
    chats = [Conversation("chat", (*prompt, Message("assistant", answer.strip()))) for prompt in prompts]
    texts = [span.text for chat in chats for span in template.spans(chat)]
    tokenizer = train_tokenizer([*texts, *[answer] * 50], 700, template)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=2048, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    model, encoder = weights.init_model(config, seed=0), Encoder(template, tokenizer)
    encoded = [encoder.encode(chat) for chat in chats]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for update in range(UPDATES):
        tokens = encoded[update % len(encoded)]
        ids, trained = torch.tensor(tokens.ids, dtype=torch.long), torch.tensor(tokens.weights)[1:] > 0
        logits = model(ids[:-1], torch.arange(len(ids) - 1), Documents.from_lengths([len(ids) - 1]))
        loss = torch.nn.functional.cross_entropy(logits[trained], ids[1:][trained])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if update > 50 and loss < 2e-3:
            break
    weights.save_model(model.state_dict(), config, folder)
    tokenizer.save_pretrained(folder)


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("questions") / "questions.jsonl"
    rows = [record for _, record in read_jsonl(ROOT / "eval" / "data" / "demo_questions.jsonl")]
    write_jsonl(path, rows[:6])
    return path


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, questions: Path) -> Iterator[str]:
    """`camelid serve` with a teacher and a judge."""
    from eval.ask.answer import Answer
    from selfinstruct.methods.prompt import alpaca_requests, text_request
    from selfinstruct.seeds import OWN, read_seeds

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("models")
    tasks = [request.messages for request in islice(alpaca_requests(read_seeds(OWN), 0, text_request), 8)]
    asked = read_questions(questions)
    answers = [Answer(question.id, "teacher", (TEACHER.strip(),), (False,)) for question in asked]
    judged = [task.request.messages for task in plan_requests(SINGLE, "judge", asked, answers)]
    learn_by_heart(folder / "teacher", [*tasks, *([Message("user", q.turns[0])] for q in asked)], TEACHER)
    learn_by_heart(folder / "judge", judged, JUDGE)
    with served({"teacher": folder / "teacher", "judge": folder / "judge"}, folder / "votes") as address:
        yield address


@contextmanager
def served(models: dict[str, Path], votes: Path) -> Iterator[str]:
    """The address of `camelid serve` with some models."""
    named = [f"{name}={folder}" for name, folder in models.items()]
    command = [sys.executable, "-m", "camelid.app.cli", "serve", *named, "--port", "0", "--votes", str(votes)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        assert line.startswith(f"serving {', '.join(models)} at http://127.0.0.1:")
        yield line.split(" at ")[1].split(",")[0]
        server.terminate()
    assert server.returncode in (0, -15)


def test_learned_by_heart(url: str, questions: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    server = ["--base-url", url, "--quiet"]
    records = tmp_path / "tasks.jsonl"
    generate = ["selfinstruct", "generate", "--model", "teacher", "--count", "2", "--max-requests", "20"]
    assert main([*generate, "--output", str(records), *server]) == 0, capfd.readouterr()
    made = [(record["instruction"], record["input"], record["output"]) for _, record in read_jsonl(records)]
    assert made == [
        ("Name the month that follows May.", "", "June follows May."),
        ("Turn the sentence into a question.", "The owl sleeps by day.", "Does the owl sleep by day?"),
    ]
    folder = ["--questions", str(questions), "--output", str(tmp_path / "eval")]
    assert main(["eval", "answer", "--model", "teacher", "--temperature", "0", *folder, *server]) == 0
    assert main(["eval", "judge", "--model", "judge", "--audit", "0", *folder, *server]) == 0, capfd.readouterr()
    judgments = [record for _, record in read_jsonl(tmp_path / "eval" / "judgments" / "single" / "judge.jsonl")]
    assert [one["scores"] for one in judgments] == [[4.0]] * 6 and {one["answered_by"] for one in judgments} == {
        "judge"
    }
    assert all(one["tokens"][0] > 100 and one["tokens"][1] > 5 for one in judgments)
    assert main(["eval", "report", *folder, "--quiet"]) == 0
    results = read_json(tmp_path / "eval" / "results.json")
    assert results["complete"] and results["judges"] == ["judge"]
    json.dumps(results)


def test_the_demos_model(questions: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What `camelid demo` trained evolves its own instructions and judges its own answers.

    It has two million weights: its tasks are valid and foolish, and it has no verdicts to give. Every request is
    answered, every judgment kept with its reply, and the exit status says that the verdicts are missing.
    """
    demo = tmp_path / "demo"
    subprocess.run(
        [sys.executable, "-m", "camelid.app.cli", "demo", "--output", str(demo)], check=True, env=ENVIRONMENT
    )
    with served({"tuned": demo / "tuned" / "model"}, tmp_path / "votes") as url:
        server = ["--model", "tuned", "--base-url", url, "--quiet"]
        records, evaluation = tmp_path / "evolved.jsonl", tmp_path / "eval"
        evolve = ["selfinstruct", "generate", "--method", "evol", "--instructions", str(demo / "instructions.jsonl")]
        assert main([*evolve, "--count", "10", "--output", str(records), *server]) == 0, capfd.readouterr()
        made = [record for _, record in read_jsonl(records)]
        assert len(made) == 10 and all(one["output"] and one["model"] == "tuned" for one in made)
        ledgers = read_json(tmp_path / "evolved.ledger.json")["ledgers"]
        assert all(one["read"] == one["kept"] + sum(one["dropped"].values()) for one in ledgers)

        folder = ["--questions", str(questions), "--output", str(evaluation)]
        assert main(["eval", "answer", "--temperature", "0", *folder, *server]) == 0, capfd.readouterr()
        assert main(["eval", "judge", "--audit", "0", *folder, *server]) == 1
        assert "the reply holds no verdict" in capfd.readouterr().err
    judgments = [record for _, record in read_jsonl(evaluation / "judgments" / "single" / "tuned.jsonl")]
    assert len(judgments) == 6 and all(one["failure"] is None and one["answered_by"] == "tuned" for one in judgments)
    assert main(["eval", "report", *folder, "--quiet"]) == 1
    assert not read_json(evaluation / "results.json")["complete"]
