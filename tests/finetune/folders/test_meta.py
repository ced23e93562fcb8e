"""Meta's checkpoints against Meta's LLaMA, written out plainly."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from camelid.app.cli import main
from camelid.errors import UserError
from finetune.folders import weights
from finetune.llama.config import LlamaConfig
from tests.finetune.folders.tiny_folders import CONFIG, IDS, logits, transformers_logits, write_meta


def meta_forward(state: dict[str, Tensor], config: LlamaConfig) -> Tensor:
    """Meta's LLaMA written out plainly, with complex rotations of neighbouring pairs: the oracle for the import."""

    def norm(x: Tensor, weight: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + config.rms_norm_eps) * weight

    size, count = config.head_size, len(IDS)
    speeds = 1.0 / config.rope_theta ** (torch.arange(0, size, 2).float() / size)
    turns = torch.polar(torch.ones(count, size // 2), torch.outer(torch.arange(count).float(), speeds))

    def turned(x: Tensor) -> Tensor:
        pairs = torch.view_as_complex(x.view(count, -1, size // 2, 2)) * turns[:, None]
        return torch.view_as_real(pairs).flatten(2)

    x = state["tok_embeddings.weight"][IDS]
    mask = torch.full((count, count), float("-inf")).triu(1)
    for layer in range(config.num_hidden_layers):
        w = {name: state[f"layers.{layer}.{name}.weight"] for name in (
            "attention.wq", "attention.wk", "attention.wv", "attention.wo", "attention_norm",
            "feed_forward.w1", "feed_forward.w2", "feed_forward.w3", "ffn_norm")}  # fmt: skip
        h = norm(x, w["attention_norm"])
        q, k = turned(h @ w["attention.wq"].T), turned(h @ w["attention.wk"].T)
        v = (h @ w["attention.wv"].T).view(count, -1, size)
        groups = config.num_attention_heads // config.kv_heads
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
        scores = torch.einsum("qhd,khd->hqk", q, k) / size**0.5 + mask
        x = x + torch.einsum("hqk,khd->qhd", scores.softmax(-1), v).flatten(1) @ w["attention.wo"].T
        h = norm(x, w["ffn_norm"])
        gate = torch.nn.functional.silu(h @ w["feed_forward.w1"].T) * (h @ w["feed_forward.w3"].T)
        x = x + gate @ w["feed_forward.w2"].T
    return norm(x, state["norm.weight"]) @ state["output.weight"].T


@pytest.mark.parametrize("shards", [1, 2])
def test_meta_checkpoints(tmp_path: Path, shards: int) -> None:
    state = write_meta(tmp_path / "meta", shards)
    assert main(["weights", "import", str(tmp_path / "meta"), str(tmp_path / "model")]) == 0
    truth = meta_forward(state, CONFIG)
    torch.testing.assert_close(transformers_logits(tmp_path / "model"), truth, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(logits(weights.load_model(tmp_path / "model")), truth, atol=2e-5, rtol=1e-5)
    assert LlamaConfig.from_folder(tmp_path / "model").max_position_embeddings == 4096


def test_meta_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_meta(tmp_path / "meta", 2)
    with pytest.raises(UserError, match="turn it into a model folder with `camelid weights import`"):
        weights.open_tensors(tmp_path / "meta")
    part = torch.load(tmp_path / "meta" / "consolidated.01.pth")
    del part["norm.weight"]
    torch.save(part, tmp_path / "meta" / "consolidated.01.pth")
    assert main(["weights", "import", str(tmp_path / "meta"), str(tmp_path / "model")]) == 2
    assert "consolidated.01.pth: tensor 'norm.weight' is missing" in capsys.readouterr().err
    assert main(["weights", "import", str(tmp_path), str(tmp_path / "model")]) == 2
    assert "params.json: no such file" in capsys.readouterr().err
