"""The native LLaMA against transformers: logits, gradients, packing, adapters."""

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM

from finetune.folders import weights
from finetune.generate.decode import generate
from finetune.generate.sampling import Sampling
from finetune.llama.attention import Documents
from finetune.llama.model import Llama
from tests.finetune.folders.tiny_folders import CONFIG, IDS, logits, save
from tests.finetune.llama.packed_documents import BASE, LENGTHS, packed, random_documents

LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
VARIANTS = {
    "mha": {},
    "gqa": {"num_key_value_heads": 2},
    "mqa": {"num_key_value_heads": 1},
    "tied": {"tie_word_embeddings": True},
    "biases": {"attention_bias": True, "mlp_bias": True},
    "head_dim": {"head_dim": 20},
    "theta": {"rope_theta": 500000.0, "rms_norm_eps": 1e-5},
    "llama3": {"rope_scaling": LLAMA3, "num_key_value_heads": 2},
    "linear": {"rope_scaling": {"rope_type": "linear", "factor": 4.0}},
    "dynamic": {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}, "max_position_embeddings": 20},
    "yarn": {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}},
    "yarn, tuned": {
        "rope_scaling": {
            "rope_type": "yarn",
            "factor": 8.0,
            "original_max_position_embeddings": 16,
            "attention_factor": 1.3,
            "beta_fast": 4.0,
            "beta_slow": 0.5,
            "truncate": False,
        }
    },
    "mistral": {"model_type": "mistral", "sliding_window": 5, "num_key_value_heads": 2},
    "mistral, no window": {"model_type": "mistral", "head_dim": 20},
    "qwen2": {"model_type": "qwen2", "attention_bias": True, "num_key_value_heads": 2},
    "qwen2, window in the last layer": {
        "model_type": "qwen2",
        "attention_bias": True,
        "tie_word_embeddings": True,
        "sliding_window": 6,
        "layer_types": ("full_attention", "full_attention", "sliding_attention"),
    },
    "qwen3": {"model_type": "qwen3", "num_key_value_heads": 2, "head_dim": 20, "tie_word_embeddings": True},
    "qwen3, biases and a window": {"model_type": "qwen3", "attention_bias": True, "sliding_window": 3},
    "smollm3": {"model_type": "smollm3", "num_key_value_heads": 2, "no_rope_layers": (1, 0, 1)},
    "smollm3, biases and windows": {
        "model_type": "smollm3",
        "attention_bias": True,
        "mlp_bias": True,
        "sliding_window": 4,
        "layer_types": ("sliding_attention", "full_attention", "full_attention"),
        "no_rope_layers": (0, 1, 0),
        "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32},
    },
    "odd sizes": {
        "vocab_size": 103,
        "hidden_size": 42,
        "intermediate_size": 61,
        "num_attention_heads": 3,
        "head_dim": 14,
    },
}


class Numbers:
    """A tokenizer that only has to decode."""

    def decode(self, ids: list[int], skip_special_tokens: bool = False) -> str:
        return " ".join(map(str, ids))


@pytest.fixture(params=VARIANTS, scope="module")
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Llama, Any]:
    """Our model with random weights, and transformers' model loaded from the folder we save."""
    config = dataclasses.replace(BASE, **VARIANTS[request.param])
    ours = weights.init_model(config, seed=1)
    for name, parameter in ours.named_parameters():
        if name.endswith(("bias", "q_norm.weight", "k_norm.weight")):
            torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(1))
    folder = tmp_path_factory.mktemp("pair") / "model"
    weights.save_model(ours.state_dict(), config, folder)
    return ours, AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")


def test_packed_logits_equal_transformers_one_document_at_a_time(pair: tuple[Llama, Any]) -> None:
    ours, peer = pair
    documents = random_documents()
    with torch.no_grad():
        mine = packed(ours, documents)
        truth = torch.cat([peer(document[None]).logits[0] for document in documents])
    torch.testing.assert_close(mine, truth, atol=1e-5, rtol=1e-5)


def test_packed_logits_equal_transformers_in_bfloat16(pair: tuple[Llama, Any]) -> None:
    wide = copy.deepcopy(pair[0])
    with torch.no_grad():
        for parameter in wide.parameters():
            parameter.mul_(0.5 if parameter.ndim > 1 else 1)  # weights nearer to real ones: errors don't snowball
    ours, peer = copy.deepcopy(wide).to(torch.bfloat16), copy.deepcopy(pair[1])
    peer.load_state_dict(wide.state_dict())
    peer.to(torch.bfloat16)
    peer.set_attn_implementation("sdpa")  # the eager form rounds the attention weights to bfloat16
    documents = random_documents()
    with torch.no_grad():
        mine = packed(ours, documents).float()
        truth = torch.cat([peer(document[None]).logits[0] for document in documents]).float()
        exact = packed(wide, documents)
    assert (mine - truth).norm() <= 2e-2 * truth.norm()
    assert (mine - exact).norm() <= 1.1 * (truth - exact).norm()  # no farther from float32 than theirs


@pytest.mark.parametrize("side", ["left", "right"])
def test_packed_logits_equal_a_padded_batch(pair: tuple[Llama, Any], side: str) -> None:
    """transformers with an attention mask and padding; we have neither."""
    ours, peer = pair
    documents = random_documents()
    width = max(LENGTHS)
    if ours.config.rope_type == "dynamic":
        pytest.skip("transformers stretches every row by the longest one of the batch")
    ids, mask = torch.zeros(len(documents), width, dtype=torch.long), torch.zeros(len(documents), width)
    places = [slice(0, n) if side == "right" else slice(width - n, width) for n in LENGTHS]
    for row, (place, document) in enumerate(zip(places, documents, strict=True)):
        ids[row, place], mask[row, place] = document, 1
    positions = (mask.cumsum(1) - 1).clamp(min=0).long()
    with torch.no_grad():
        logits = peer(ids, attention_mask=mask, position_ids=positions).logits
        truth = torch.cat([logits[row, place] for row, place in enumerate(places)])
        torch.testing.assert_close(packed(ours, documents), truth, atol=1e-5, rtol=1e-5)


def test_gradients_equal_transformers(pair: tuple[Llama, Any]) -> None:
    """In float64, but for the norms' statistics, which both take in float32."""
    ours, peer = (copy.deepcopy(model).double() for model in pair)
    documents = random_documents(1)
    mine = packed(ours, documents)
    starts = [0, *torch.tensor(LENGTHS).cumsum(0).tolist()]
    loss = sum(
        cross_entropy(mine[start : end - 1], document[1:], reduction="sum")
        for start, end, document in zip(starts, starts[1:], documents, strict=False)
    )
    loss.backward()  # type: ignore[union-attr]
    for document in documents:
        logits = peer(document[None]).logits[0]
        cross_entropy(logits[:-1], document[1:], reduction="sum").backward()
    truth = dict(peer.named_parameters())
    whole = sum(float(parameter.grad.norm()) for parameter in truth.values())
    assert [name for name, _ in ours.named_parameters()] == list(truth)
    for name, parameter in ours.named_parameters():
        assert parameter.grad is not None
        # Not relative alone: what is added to all keys of a layer without rotation changes no attention.
        assert (parameter.grad - truth[name].grad).norm() <= 1e-5 * truth[name].grad.norm() + 1e-9 * whole, name


def test_greedy_generation_equals_transformers(pair: tuple[Llama, Any]) -> None:
    ours, peer = pair
    prompts = [document.tolist() for document in random_documents(2) if len(document) > 1]
    answers = generate(ours, prompts, [0] * len(prompts), Numbers(), [], Sampling(10, temperature=0))
    for prompt, answer in zip(prompts, answers, strict=True):
        room = ours.config.context - len(prompt)
        ids = torch.tensor([prompt])
        truth = peer.generate(ids, max_new_tokens=10, do_sample=False, pad_token_id=0, eos_token_id=-1)
        assert answer.ids == truth[0, len(prompt) :].tolist()[:room]


def test_parameter_count_equals_transformers(pair: tuple[Llama, Any]) -> None:
    ours, peer = pair
    assert ours.config.num_parameters() == peer.num_parameters() == sum(p.numel() for p in ours.parameters())


@pytest.mark.parametrize("mode", ["selective", "full"])
def test_recomputation_gives_bit_equal_gradients(mode: str) -> None:
    config = dataclasses.replace(BASE, num_key_value_heads=2)
    gradients = []
    for recompute in ("none", mode):
        model = weights.init_model(config, seed=1)
        model.set_recompute(recompute)  # type: ignore[arg-type]
        packed(model, random_documents()).square().sum().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_positions_that_are_not_reset_are_noticed() -> None:
    model = weights.init_model(BASE, seed=1)
    documents = random_documents()
    lengths = Documents.from_lengths(LENGTHS)
    with torch.no_grad():
        right = packed(model, documents)
        wrong = model(torch.cat(documents), torch.arange(sum(LENGTHS)), lengths)
    # RoPE is relative: shifting a whole document changes nothing but rounding; the mask is what separates.
    torch.testing.assert_close(right, wrong, atol=1e-3, rtol=1e-3)
    with torch.no_grad():
        merged = model(torch.cat(documents), torch.arange(sum(LENGTHS)), Documents.from_lengths([sum(LENGTHS)]))
    assert (merged - right)[8:].abs().max() > 0.1
    # Dynamic scaling reads a document's length off its last position, so there the same mistake shows by itself.
    stretching = weights.init_model(dataclasses.replace(BASE, **VARIANTS["dynamic"]), seed=1)  # type: ignore[arg-type]
    with torch.no_grad():
        right = packed(stretching, documents)
        wrong = stretching(torch.cat(documents), torch.arange(sum(LENGTHS)), lengths)
    assert (wrong - right)[8:].abs().max() > 0.1


@pytest.mark.parametrize("mode", ["none", "selective", "full"])
def test_adapter_trained_on_the_native_module(tmp_path: Path, mode: Any) -> None:
    """Ten steps of AdamW under each kind of recomputation: the same as transformers' own, and loads there."""
    base = save(CONFIG, 3, tmp_path / "base")
    base.set_recompute(mode)
    peer = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    lora = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj"])
    positions, documents = torch.arange(len(IDS)), Documents.from_lengths([len(IDS)])
    ours, theirs = get_peft_model(base, lora), get_peft_model(peer, copy.deepcopy(lora))
    trained = {name: parameter for name, parameter in ours.named_parameters() if parameter.requires_grad}
    assert trained and all("lora_" in name for name in trained)
    theirs.load_state_dict({name: parameter.detach().clone() for name, parameter in trained.items()}, strict=False)

    def train(model: Any, forward: Callable[[], Tensor]) -> list[float]:
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
        losses = []
        for _ in range(10):
            loss = torch.nn.functional.cross_entropy(forward()[:-1], IDS[1:])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
        return losses

    mine = train(ours, lambda: ours(IDS, positions, documents))
    assert mine == pytest.approx(train(theirs, lambda: theirs(IDS[None]).logits[0]), abs=1e-4)
    assert mine[-1] < mine[0] - 0.1
    with torch.no_grad():
        truth = ours(IDS, positions, documents)
    ours.save_pretrained(tmp_path / "adapter")
    loaded = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tmp_path / "base"), tmp_path / "adapter")
    torch.testing.assert_close(logits(loaded), truth, atol=1e-5, rtol=1e-5)
