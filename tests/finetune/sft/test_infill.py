"""A toy model trained on texts with holes fills those that were planted, and reads from left to right as well."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from conversations.tokens.infill import INFILL_TOKENS, CutText, InfillEncoder
from conversations.tokens.open_tokenizer import open_tokenizer
from conversations.tokens.template import get_template
from finetune.folders import weights
from finetune.folders.tokenizer import train_tokenizer
from finetune.generate.decode import generate
from finetune.generate.sampling import Sampling
from finetune.llama.attention import Documents
from finetune.llama.config import LlamaConfig
from finetune.llama.model import Llama
from tests.finetune.runs import run

pytestmark = pytest.mark.slow  # trains twice
KEYS = ("abcdefgh", "ijklmnop", "qrstuvwx")
VALUES = ("DHBFAGCE", "MJPKNILO", "SXQVTRWU")


def text(rng: Random) -> str:
    """Three pairs, a key and the value that belongs to it: a key's hole is filled by what its suffix begins with."""
    places = [rng.randrange(8) for _ in KEYS]
    return "".join(keys[at] + values[at] for keys, values, at in zip(KEYS, VALUES, places, strict=True))


def trained(folder: Path, form: str) -> Llama:
    recipe = {
        "model": {"path": str(folder / "untrained")},
        "data": {"train": [{"path": str(folder / "texts.jsonl"), "form": form}], "max_length": 16},
        "optim": {"lr": 4e-3, "global_batch": 64, "micro_tokens": 1024, "updates": 500, "betas": [0.9, 0.95]},
        "run": {"output": str(folder / form), "precision": "fp32", "checkpoint_every": 1000},
    }
    assert run(recipe) == 0
    card = (folder / form / "model" / "README.md").read_text()
    assert ("camelid chat" in card) == (form == "infill") == (" --infill\n" in card) and "camelid serve" in card
    return weights.load_model(folder / form / "model").eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("infill"), Random(0)
    (folder / "texts.jsonl").write_text("".join(json.dumps({"text": text(rng)}) + "\n" for _ in range(4000)))
    tokenizer = train_tokenizer([], 290, get_template("vicuna_v1.1"))
    tokenizer.add_special_tokens({"additional_special_tokens": list(INFILL_TOKENS[0].all)})
    config = LlamaConfig(len(tokenizer), 64, 128, 2, 4, max_position_embeddings=64)
    weights.save_model(weights.init_model(config, 0).state_dict(), config, folder / "untrained")
    tokenizer.save_pretrained(folder / "untrained")
    return folder


def filled(model: Llama, tokenizer: Any, holes: list[CutText]) -> float:
    """Share of the middles that it says to the letter, and then stops."""
    encoder = InfillEncoder(tokenizer)
    prompts = [encoder.prompt(hole.prefix, hole.suffix) for hole in holes]
    sampling = Sampling(10, temperature=0)
    answers = generate(model, prompts, [0] * len(holes), tokenizer, [encoder.end_id], sampling)
    exact = (answer.text == hole.middle for answer, hole in zip(answers, holes, strict=True))
    return sum(exact) / len(holes)


def left_to_right(model: Llama, tokenizer: Any) -> float:
    """Nats a token of texts it has not seen."""
    rng, total, count = Random(2), 0.0, 0
    for _ in range(200):
        ids = torch.tensor([1, *tokenizer(text(rng), add_special_tokens=False).input_ids, 2])
        with torch.no_grad():
            logits = model(ids, torch.arange(len(ids)), Documents.from_lengths([len(ids)]))
        total += float(cross_entropy(logits[:-1], ids[1:], reduction="sum"))
        count += len(ids) - 1
    return total / count


def test_it_fills_holes_and_reads_as_well(folder: Path) -> None:
    tokenizer, rng = open_tokenizer(folder / "untrained"), Random(1)
    model, plain = trained(folder, "infill"), trained(folder, "text")
    holes = []
    for _ in range(300):
        whole, at = text(rng), 2 * rng.randrange(3)
        holes.append(CutText(whole[:at], whole[at], whole[at + 1 :]))
    assert filled(model, tokenizer, holes) >= 0.95
    others = [CutText(hole.prefix, hole.middle, holes[at - 1].suffix) for at, hole in enumerate(holes)]
    assert filled(model, tokenizer, others) < 0.2
    assert left_to_right(model, tokenizer) <= 1.02 * left_to_right(plain, tokenizer)
