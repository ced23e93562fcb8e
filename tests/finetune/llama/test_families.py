"""Models that transformers made, read through their config alone, and written back for it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from camelid.errors import UserError
from finetune.folders import weights
from finetune.llama.attention import Documents
from finetune.llama.config import LlamaConfig

SIZES = {"vocab_size": 64, "hidden_size": 64, "intermediate_size": 48, "num_hidden_layers": 4}
ALIKE = {"num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.3, "pad_token_id": 0}
# Only what each file says; the rest is what transformers takes for a field that is missing.
FILES: dict[str, dict[str, Any]] = {
    "mistral, nothing said": {"model_type": "mistral", "num_attention_heads": 32},
    "mistral": {"model_type": "mistral", **ALIKE, "sliding_window": 4},
    "qwen2, nothing said": {"model_type": "qwen2", "num_attention_heads": 32},
    "qwen2.5": {"model_type": "qwen2", **ALIKE, "sliding_window": 4, "use_sliding_window": False, "use_mrope": False},
    "qwen2.5, windows": {
        "model_type": "qwen2", **ALIKE, "sliding_window": 4, "use_sliding_window": True, "max_window_layers": 1,
    },
    "qwen3, nothing said": {"model_type": "qwen3", "num_attention_heads": 32},
    "qwen3, windows": {
        "model_type": "qwen3", **ALIKE, "head_dim": 8, "sliding_window": 3, "use_sliding_window": True,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
    },
    "smollm3, nothing said": {"model_type": "smollm3", "num_attention_heads": 4, "pad_token_id": 0},
    "smollm3, every second": {"model_type": "smollm3", **ALIKE, "no_rope_layer_interval": 2},
    "smollm3, windows": {
        "model_type": "smollm3", **ALIKE, "use_sliding_window": True, "sliding_window": 3,
        "no_rope_layers": [1, 0, 1, 1, 0, 0],
    },
    "smollm2": {"model_type": "llama", **ALIKE, "tie_word_embeddings": True, "rope_theta": 100000.0},
}  # fmt: skip
IDS = torch.arange(40) * 23 % 64


def write_config(folder: Path, record: dict[str, Any]) -> None:
    (folder / "config.json").write_text(json.dumps({**SIZES, **record}))


@pytest.mark.parametrize("name", FILES)
def test_models_are_read_through_their_config_alone(name: str, tmp_path: Path) -> None:
    write_config(tmp_path, FILES[name])
    torch.manual_seed(0)
    peer = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(tmp_path), attn_implementation="eager").double()
    with torch.no_grad():
        for parameter in peer.parameters():
            parameter.normal_(0.0, 0.2)
    peer.save_pretrained(tmp_path / "full")  # with transformers' own config.json
    peer.save_pretrained(tmp_path / "bare")
    write_config(tmp_path / "bare", FILES[name])
    for folder in (tmp_path / "full", tmp_path / "bare"):
        ours = weights.load_model(folder)
        documents = Documents.from_lengths([len(IDS)])
        with torch.no_grad():
            mine, truth = ours(IDS, documents.positions(), documents), peer(IDS[None]).logits[0]
        torch.testing.assert_close(mine, truth, atol=1e-5, rtol=1e-5)
    weights.save_model(ours.state_dict(), ours.config, tmp_path / "again")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "again", attn_implementation="eager")
    assert type(again) is type(peer)
    with torch.no_grad():
        assert torch.equal(again(IDS[None]).logits[0], truth)
    assert LlamaConfig.from_folder(tmp_path / "again") == LlamaConfig.from_folder(tmp_path / "full")


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ({"model_type": "gemma2", "final_logit_softcapping": 30.0}, "model_type = 'gemma2' is not supported"),
        ({"model_type": "qwen3_moe"}, "model_type = 'qwen3_moe' is not supported"),
        ({"architectures": ["PhiForCausalLM"]}, "architectures = ['PhiForCausalLM']"),
        ({"model_type": "llama", "final_logit_softcapping": 30.0}, "field 'final_logit_softcapping' = 30.0"),
        ({"model_type": "llama", "attn_logit_softcapping": 50.0}, "field 'attn_logit_softcapping' = 50.0"),
        ({"model_type": "llama", "hidden_activation": "gelu_pytorch_tanh"}, "field 'hidden_activation'"),
        ({"model_type": "llama", "query_pre_attn_scalar": 256}, "field 'query_pre_attn_scalar' = 256"),
        ({"model_type": "llama", "residual_multiplier": 0.22}, "field 'residual_multiplier' = 0.22"),
        ({"model_type": "llama", "partial_rotary_factor": 0.5}, "field 'partial_rotary_factor' = 0.5"),
        ({"model_type": "llama", "sliding_window": 4096}, "field 'sliding_window' = 4096"),
        ({"model_type": "llama", "no_rope_layers": [1, 0, 1, 1]}, "field 'no_rope_layers'"),
        ({"model_type": "mistral", "attention_bias": True}, "field 'attention_bias' = True"),
        ({"model_type": "mistral", "sliding_window": 0}, "sliding_window = 0: must be at least 1"),
        ({"model_type": "mistral", "attention_dropout": 0.1}, "field 'attention_dropout' = 0.1"),
        ({"model_type": "qwen2", "mlp_bias": True}, "field 'mlp_bias' = True"),
        ({"model_type": "qwen2", "resid_pdrop": 0.1}, "field 'resid_pdrop' = 0.1"),
        ({"model_type": "qwen2", "dual_chunk_attention_config": {"chunk_size": 8}}, "'dual_chunk_attention_config'"),
        ({"model_type": "qwen2", "rope_scaling": {"type": "mrope"}}, "rope_scaling.rope_type = 'mrope'"),
        (
            {"model_type": "qwen3", "rope_parameters": {"sliding_attention": {"rope_theta": 1e4}}},
            "field 'rope_parameters.sliding_attention'",
        ),
        ({"model_type": "qwen3", "rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor' = 0.5"),
        ({"model_type": "qwen3", "layer_types": ["linear_attention"] * 4}, "layer_types: 'linear_attention'"),
        ({"model_type": "qwen3", "layer_types": ["sliding_attention"] * 4}, "needs the field 'sliding_window'"),
        (
            {"model_type": "qwen3", "use_sliding_window": True, "layer_types": ["sliding_attention", "full_attention"]},
            "layer_types has 2 entries, num_hidden_layers = 4",
        ),
        ({"model_type": "smollm3", "no_rope_layers": 4}, "no_rope_layers = 4: expected a list"),
        ({"model_type": "smollm3", "no_rope_layers": [1, 0]}, "no_rope_layers has 2 entries"),
        ({"model_type": "smollm3", "no_rope_layers": [1, 0, 2, 1]}, "no_rope_layers: 2 is not supported"),
    ],
)
def test_what_is_not_computed_is_refused_by_its_field(record: dict[str, Any], says: str, tmp_path: Path) -> None:
    write_config(tmp_path, {"num_attention_heads": 32, **record})
    with pytest.raises(UserError) as caught:
        LlamaConfig.from_folder(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'config.json'}: ")
    assert says in str(caught.value)
