"""A toy model folder, toy data and a recipe that trains one on the other in seconds."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from finetune.serve.served import ServedModel
    from tests.finetune.serve.serving import Running

WORDS = ["red", "green", "blue", "small", "quick", "slow", "cat", "dog", "bird", "house", "tree", "walks", "sees"]


@pytest.fixture(scope="session")
def toy_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 conversations of 1-3 exchanges, uneven lengths, some turns with a weight of their own."""
    rng = random.Random(0)
    path = tmp_path_factory.mktemp("data") / "toy.jsonl"
    with path.open("w") as file:
        for number in range(60):
            messages: list[dict[str, Any]] = []
            for _ in range(rng.randint(1, 3)):
                messages.append({"role": "user", "content": " ".join(rng.choices(WORDS, k=rng.randint(2, 12)))})
                messages.append({"role": "assistant", "content": " ".join(rng.choices(WORDS, k=rng.randint(1, 20)))})
            if number % 7 == 0:
                messages[-1]["weight"] = 0.5
            file.write(json.dumps({"id": f"toy-{number}", "messages": messages}) + "\n")
    return path


@pytest.fixture(scope="session")
def toy_model(tmp_path_factory: pytest.TempPathFactory, toy_data: Path) -> Path:
    """A two-layer model folder with a tokenizer of 420 tokens."""
    from conversations.formats.readers import read_conversations
    from conversations.tokens.template import get_template
    from finetune.folders import weights
    from finetune.folders.tokenizer import train_tokenizer
    from finetune.llama.config import LlamaConfig

    template = get_template("vicuna_v1.1")
    texts = [span.text for conversation in read_conversations(toy_data) for span in template.spans(conversation)]
    tokenizer = train_tokenizer(texts, 420, template)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    folder = tmp_path_factory.mktemp("model") / "toy"
    weights.save_model(weights.init_model(config, seed=0).state_dict(), config, folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def toy_recipe(tmp_path: Path, toy_model: Path, toy_data: Path) -> dict[str, Any]:
    """The recipe as nested dicts."""
    return {
        "model": {"path": str(toy_model)},
        "data": {"train": [{"path": str(toy_data)}], "template": "vicuna_v1.1", "max_length": 128},
        "optim": {"lr": 1e-3, "global_batch": 8, "micro_tokens": 256, "updates": 6, "weight_decay": 0.1},
        "run": {"output": str(tmp_path / "run"), "precision": "fp32", "checkpoint_every": 2},
    }


@pytest.fixture(scope="session")
def lively_model(tmp_path_factory: pytest.TempPathFactory, toy_model: Path) -> Path:
    """The toy model with larger random weights: its answers are nonsense, but all different, and some end early."""
    import dataclasses

    from finetune.folders import weights
    from finetune.folders.merge import copy_tokenizer
    from finetune.llama.config import LlamaConfig

    folder = tmp_path_factory.mktemp("model") / "lively"
    config = dataclasses.replace(LlamaConfig.from_folder(toy_model), initializer_range=0.4)
    weights.save_model(weights.init_model(config, seed=1).state_dict(), config, folder)
    copy_tokenizer([toy_model], folder)
    return folder


@pytest.fixture(scope="session")
def filling_model(tmp_path_factory: pytest.TempPathFactory, toy_model: Path) -> Path:
    """A random base of Code Llama's kind that says no single bytes, which decoders show in different ways."""
    import dataclasses
    import shutil

    from conversations.tokens.open_tokenizer import open_tokenizer
    from finetune.folders import weights
    from finetune.llama.config import LlamaConfig
    from tests.conversations.tokens.llama_vocabulary import CODE_PIECES, code_model
    from tests.conversations.tokens.test_sentencepiece_model import train

    folder = tmp_path_factory.mktemp("model") / "code"
    train(folder.parent)
    model = code_model(folder.parent / "tokenizer.model")
    config = dataclasses.replace(
        LlamaConfig.from_folder(toy_model), vocab_size=model.get_piece_size(), initializer_range=0.4
    )
    state = weights.init_model(config, seed=3).state_dict()
    words = [*range(259, model.get_piece_size() - len(CODE_PIECES)), model.eos_id(), model.piece_to_id("▁<EOT>")]
    state["model.embed_tokens.weight"][:, 0] = 8.0  # what the output layer knows every token by
    state["lm_head.weight"][:, 0] = -8.0
    state["lm_head.weight"][words, 0] = 8.0
    weights.save_model(state, config, folder)
    shutil.move(folder.parent / "tokenizer.model", folder)
    open_tokenizer(folder).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def shaped_models(tmp_path_factory: pytest.TempPathFactory, lively_model: Path) -> dict[str, Path]:
    """Lively models by what is particular about their shape."""
    import dataclasses

    from finetune.folders import weights
    from finetune.folders.merge import copy_tokenizer
    from finetune.llama.config import LlamaConfig

    llama3 = {"factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
    shapes: dict[str, dict[str, Any]] = {
        "one-kv-head": {"num_key_value_heads": 1},
        "tied": {"tie_word_embeddings": True},
        "linear": {"rope_scaling": {"rope_type": "linear", "factor": 2.0}},
        "llama3": {"rope_scaling": {"rope_type": "llama3", **llama3}},
        "yarn": {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}},
        "mistral": {"model_type": "mistral", "sliding_window": 7},
        "qwen3": {"model_type": "qwen3"},
        "smollm3": {"model_type": "smollm3", "no_rope_layers": (1, 0)},
    }
    folders = {name: tmp_path_factory.mktemp("model") / name for name in shapes}
    for number, (name, shape) in enumerate(shapes.items()):
        config = dataclasses.replace(LlamaConfig.from_folder(lively_model), **shape)
        weights.save_model(weights.init_model(config, seed=number).state_dict(), config, folders[name])
        copy_tokenizer([lively_model], folders[name])
    return folders


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """A toy model's operations are too small to share, and several threads wait for each other on a busy machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def served(lively_model: Path, one_thread: None) -> "ServedModel":
    """The lively model, as the server knows it."""
    from finetune.serve.served import open_served

    return open_served(lively_model, "lively")


@pytest.fixture(scope="module")
def running(served: "ServedModel", tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Running]":
    """A server of that model."""
    from tests.finetune.serve.serving import serving

    with serving([served], tmp_path_factory.mktemp("votes")) as server:
        yield server
