"""A model that chats is continued on real articles: it learns them, and a tenth of chats keeps what it knew."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from camelid.app.cli import main
from conversations.formats.readers import read_conversations
from conversations.tokens.template import get_template
from finetune.data.batches import make_micro_batch
from finetune.data.token_data import load_tokens
from finetune.engine.perplexity import score_texts
from finetune.folders import weights
from finetune.folders.tokenizer import train_tokenizer
from finetune.llama.config import LlamaConfig
from finetune.objectives.next_token import token_losses
from finetune.recipe import DataSection, DataSource
from tests.corpus.conftest import gensim_wikis, records
from tests.finetune.runs import metrics, run

__all__ = ["gensim_wikis"]
TRAINED = 40  # articles


def mean_chat_loss(folder: Path, chats: Path, cache: Path) -> float:
    """Nats a trained token of all chats."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    section = DataSection((DataSource(str(chats)),), "vicuna_v1.1", max_length=256)
    data = load_tokens(cache, section, tokenizer, seed=0)
    batch = make_micro_batch(data, [np.arange(data.documents)], torch.device("cpu"))
    model = weights.load_model(folder)
    head = partial(token_losses, batch=batch)
    with torch.no_grad():
        losses = model(batch.input_ids, batch.positions, batch.documents, head=head)
    return float(losses @ batch.weights / batch.weights.sum())


@pytest.mark.slow
def test_a_tenth_of_replay_keeps_two_thirds_of_what_is_forgotten(
    tmp_path: Path, gensim_wikis: Path, toy_data: Path, one_thread: None
) -> None:
    dump = sorted(gensim_wikis.glob("enwiki-latest*"))
    command = ["corpus", "read", "wikipedia", *map(str, dump), "--output", str(tmp_path / "wiki"), "--quiet"]
    assert main(command) == 0
    articles = [record for record in records(tmp_path / "wiki") if len(record["text"]) > 4000]
    for name, part in (("field", articles[:TRAINED]), ("held-out", articles[TRAINED : TRAINED + 8])):
        lines = (json.dumps({**record, "text": record["text"][:8000]}) + "\n" for record in part)
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
    template = get_template("vicuna_v1.1")
    texts = [span.text for chat in read_conversations(toy_data) for span in template.spans(chat)]
    tokenizer = train_tokenizer([*texts, *(record["text"][:8000] for record in articles[:TRAINED])], 1000, template)
    shape = LlamaConfig(
        len(tokenizer), 96, 256, 2, 4, 2, max_position_embeddings=256,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    weights.save_model(weights.init_model(shape, seed=0).state_dict(), shape, tmp_path / "start")
    tokenizer.save_pretrained(tmp_path / "start")

    def train(start: Path, name: str, sources: list[dict[str, Any]], **optim: float) -> Path:
        recipe = {
            "model": {"path": str(start)},
            "data": {"train": sources, "template": "vicuna_v1.1", "max_length": 256},
            "optim": {"global_batch": 8, "micro_tokens": 2048, "betas": [0.9, 0.95], **optim},
            "run": {"output": str(tmp_path / name), "precision": "fp32", "checkpoint_every": 1000},
        }
        assert run(recipe) == 0
        trained = sum(record["trained_tokens"] for record in metrics(recipe))
        assert trained > 10_000
        return tmp_path / name / "model"

    def held_out(folder: Path) -> float:
        bits = score_texts(folder, [str(tmp_path / "held-out.jsonl")], None, quiet=True)[1].bits_per_byte
        assert bits is not None
        return bits

    chats = {"path": str(toy_data)}
    base = train(tmp_path / "start", "base", [chats], lr=3e-3, updates=150)
    field = {"path": str(tmp_path / "field.jsonl"), "form": "text"}
    sizes = []
    for source in (field, chats):
        section = DataSection((DataSource(**source),), "vicuna_v1.1", max_length=256)
        sizes.append(load_tokens(tmp_path / "sizes", section, tokenizer, seed=0).tokens)
    share = {**chats, "weight": 0.1 / 0.9 * sizes[0] / sizes[1]}
    alone = train(base, "alone", [field], lr=1e-3, epochs=2)
    replayed = train(base, "replayed", [field, share], lr=1e-3, epochs=2)
    bits = [held_out(folder) for folder in (base, alone, replayed)]
    losses = [mean_chat_loss(folder, toy_data, tmp_path / "chats") for folder in (base, alone, replayed)]
    print(f"held-out bits a byte {bits}, loss of chats {losses}, of {sizes} tokens of articles and chats")
    assert bits[1] < 0.8 * bits[0] and bits[2] < 0.8 * bits[0]
    forgotten, forgotten_with_replay = losses[1] - losses[0], losses[2] - losses[0]
    assert forgotten > 0.1 and forgotten_with_replay <= forgotten / 3
