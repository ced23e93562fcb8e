"""The native LLaMA against transformers: logits, gradients, packing, folders."""

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM
from transformers import LlamaConfig as PeerConfig
from transformers import LlamaForCausalLM as Peer

from camelid.errors import UserError
from finetune.folders import weights
from finetune.generate.decode import Sampling, generate
from finetune.llama.attention import Documents
from finetune.llama.config import LlamaConfig
from finetune.llama.model import Llama

BASE = LlamaConfig(
    vocab_size=101,
    hidden_size=48,
    intermediate_size=80,
    num_hidden_layers=3,
    num_attention_heads=4,
    max_position_embeddings=128,
    initializer_range=0.2,  # large, so that differences show
)
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
    "odd sizes": {
        "vocab_size": 103,
        "hidden_size": 42,
        "intermediate_size": 61,
        "num_attention_heads": 3,
        "head_dim": 14,
    },
}
LENGTHS = [7, 1, 30, 12]


class Numbers:
    """A tokenizer that only has to decode."""

    def decode(self, ids: list[int], skip_special_tokens: bool = False) -> str:
        return " ".join(map(str, ids))


@pytest.fixture(params=VARIANTS, scope="module")
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Llama, Any]:
    """Our model with random weights, and transformers' model loaded from the folder we save."""
    config = dataclasses.replace(BASE, **VARIANTS[request.param])
    ours = weights.init_model(config, seed=1)
    if config.attention_bias:
        for name, parameter in ours.named_parameters():
            if name.endswith("bias"):
                torch.nn.init.normal_(parameter)
    folder = tmp_path_factory.mktemp("pair") / "model"
    weights.save_model(ours.state_dict(), config, folder)
    return ours, AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")


def packed(model: Llama, documents: list[Tensor]) -> Tensor:
    positions = torch.cat([torch.arange(len(document)) for document in documents])
    out: Tensor = model(torch.cat(documents), positions, Documents.from_lengths([len(d) for d in documents]))
    return out


def random_documents(seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(0, BASE.vocab_size, (length,), generator=generator) for length in LENGTHS]


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
    ours, peer = pair
    documents = random_documents(1)
    ours.zero_grad()
    peer.zero_grad()
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
    for name, parameter in ours.named_parameters():
        assert parameter.grad is not None
        difference = (parameter.grad - truth[name].grad).norm() / truth[name].grad.norm()
        assert difference < 1e-5, name


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


def test_documents_do_not_see_each_other() -> None:
    model = weights.init_model(BASE, seed=1)
    documents = random_documents()
    with torch.no_grad():
        before = packed(model, documents)
        documents[0] = (documents[0] + 1) % BASE.vocab_size
        after = packed(model, documents)
    assert not torch.equal(before[:7], after[:7])
    torch.testing.assert_close(before[7:], after[7:], atol=0, rtol=0)


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


def test_folder_round_trip_in_shards(tmp_path: Path) -> None:
    model = weights.init_model(BASE, seed=2)
    weights.save_model(model.state_dict(), BASE, tmp_path / "model", shard_bytes=50_000)
    assert len(list((tmp_path / "model").glob("*.safetensors"))) > 2
    again = weights.load_model(tmp_path / "model")
    assert again.config == dataclasses.replace(BASE, num_key_value_heads=4, head_dim=12)
    for (name, ours), (_, theirs) in zip(model.state_dict().items(), again.state_dict().items(), strict=True):
        assert torch.equal(ours, theirs), name
    peer = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    with torch.no_grad():
        document = random_documents()[2]
        torch.testing.assert_close(packed(again, [document]), peer(document[None]).logits[0], atol=1e-5, rtol=1e-5)


def test_transformers_folder_loads_here(tmp_path: Path) -> None:
    peer = Peer(
        PeerConfig(vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4)
    )
    peer.save_pretrained(tmp_path)
    ours = weights.load_model(tmp_path)
    document = torch.arange(20)
    with torch.no_grad():
        torch.testing.assert_close(packed(ours, [document]), peer(document[None]).logits[0], atol=1e-5, rtol=1e-5)


def test_same_seed_same_weights() -> None:
    first, again, other = (weights.init_model(BASE, seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["lm_head.weight"], other["lm_head.weight"])
    assert first["lm_head.weight"].std() == pytest.approx(0.2, rel=0.05)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model_type": "mistral"}, "model_type = 'mistral'; only 'llama' is supported"),
        ({"hidden_act": "gelu"}, "hidden_act = 'gelu'"),
        ({"quantization_config": {"bits": 4}}, "field 'quantization_config' is not supported"),
        ({"rope_scaling": {"rope_type": "longrope"}, "rope_parameters": None}, "'longrope' is not supported"),
        ({"num_key_value_heads": 3}, "must be a multiple of num_key_value_heads = 3"),
    ],
)
def test_unsupported_config_is_named(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**BASE.to_json(), **change}))
    with pytest.raises(UserError) as caught:
        LlamaConfig.from_folder(tmp_path)
    assert says in str(caught.value)


def test_broken_folders_are_named(tmp_path: Path) -> None:
    model = weights.init_model(BASE, seed=2)
    state = model.state_dict()
    state.pop("model.layers.1.mlp.up_proj.weight")
    weights.save_model(state, BASE, tmp_path / "missing")
    with pytest.raises(UserError, match=r"missing tensor 'model\.layers\.1\.mlp\.up_proj\.weight'"):
        weights.load_model(tmp_path / "missing")
    weights.save_model(model.state_dict(), dataclasses.replace(BASE, vocab_size=99), tmp_path / "shape")
    with pytest.raises(UserError, match=r"has shape \[101, 48\], config.json says \[99, 48\]"):
        weights.load_model(tmp_path / "shape")
