"""Meta's checkpoints against Meta's LLaMA, written out plainly."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from camelid.app.cli import main
from camelid.errors import UserError
from finetune.folders import weights
from finetune.folders.meta_params import make_config, read_params
from finetune.llama.architectures import ARCHITECTURES
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


def rewrite(folder: Path, **params: object) -> None:
    """Change fields of params.json."""
    path = folder / "params.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | params))


def importing(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The error of an import that writes nothing."""
    output = folder.with_name("imported")
    assert main(["weights", "import", str(folder), str(output)]) == 2
    assert not output.exists()
    [line] = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize("gone", ["consolidated.00.pth", "consolidated.01.pth"])
def test_a_missing_shard(tmp_path: Path, capsys: pytest.CaptureFixture[str], gone: str) -> None:
    write_meta(tmp_path / "meta", 2)
    (tmp_path / "meta" / gone).unlink()
    line = importing(tmp_path / "meta", capsys)
    assert f"{gone}: is missing" in line or ("comes to shape" in line and "is a file missing" in line)


def test_a_vocabulary_of_any_size_in_several_shards(tmp_path: Path) -> None:
    """Llama 3 cuts the embedding by its rows, whatever their number."""
    state = write_meta(tmp_path / "meta", 2)
    for shard in range(2):
        path = tmp_path / "meta" / f"consolidated.{shard:02d}.pth"
        part = torch.load(path)
        part["tok_embeddings.weight"] = state["tok_embeddings.weight"].chunk(2, 0)[shard].clone()
        torch.save(part, path)
    rewrite(tmp_path / "meta", vocab_size=96)
    assert main(["weights", "import", str(tmp_path / "meta"), str(tmp_path / "model")]) == 0
    truth = meta_forward(state, CONFIG)
    torch.testing.assert_close(transformers_logits(tmp_path / "model"), truth, atol=2e-5, rtol=1e-5)


def test_key_and_value_heads_that_several_shards_repeat(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two heads over four files: each file has a whole head, as in a 405B over 16."""
    state = write_meta(tmp_path / "meta", 4, copies=2)
    assert main(["weights", "import", str(tmp_path / "meta"), str(tmp_path / "model")]) == 0
    truth = meta_forward(state, CONFIG)
    torch.testing.assert_close(transformers_logits(tmp_path / "model"), truth, atol=2e-5, rtol=1e-5)
    capsys.readouterr()
    path = tmp_path / "meta" / "consolidated.03.pth"
    part = torch.load(path)
    part["layers.1.attention.wv.weight"] += 1
    torch.save(part, path)
    assert "'layers.1.attention.wv.weight' of consolidated.03.pth should repeat" in importing(tmp_path / "meta", capsys)


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"vocab_size": 97}, "'tok_embeddings.weight' of 2 file(s) comes to shape [96, 32], but params.json"),
        ({"multiple_of": 256}, "'layers.0.feed_forward.w1.weight' of 2 file(s) comes to shape [48, 32], but"),
        ({"n_layers": 3}, "missing tensor 'model.layers.2."),
        ({"n_layers": 1}, "tensor 'layers.1.attention.wq.weight' is of a layer that params.json does not have"),
        ({"dim": [32]}, "params.json: dim must be a number, found [32]"),
        ({"n_heads": None}, "params.json: n_heads must be a number, found None"),
        ({"norm_eps": "small"}, "params.json: norm_eps must be a number, found 'small'"),
        ({"vocab_size": 1.5}, "params.json: vocab_size must be a whole number of at least 1, found 1.5"),
    ],
)  # fmt: skip
def test_params_are_believed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], params: dict[str, object], says: str
) -> None:
    write_meta(tmp_path / "meta", 2)
    rewrite(tmp_path / "meta", **params)
    assert says in importing(tmp_path / "meta", capsys)


class Code:
    """What a pickle must never be allowed to do."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("run while unpickling",)


@pytest.mark.parametrize("keep", [0, 100, 2000])
def test_truncated_files(tmp_path: Path, capsys: pytest.CaptureFixture[str], keep: int) -> None:
    write_meta(tmp_path / "meta", 1)
    path = tmp_path / "meta" / "consolidated.00.pth"
    path.write_bytes(path.read_bytes()[:keep])
    assert f"{path}: broken or cut off; copy it again" in importing(tmp_path / "meta", capsys)


def test_pickles_of_other_things(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_meta(tmp_path / "meta", 1)
    path = tmp_path / "meta" / "consolidated.00.pth"
    for content, says in (
        ({"weight": Code()}, "holds other things than tensors"),
        ({"model": {"weight": torch.ones(2)}}, "'model' is no tensor but dict"),
        ([torch.ones(2)], "expected tensors by name, found list"),
    ):
        torch.save(content, path)
        assert says in importing(tmp_path / "meta", capsys)


def test_contexts_of_the_generations(tmp_path: Path) -> None:
    """LLaMA-1's 65B has LLaMA-2's norm constant (huggyllama/llama-65b, config.json)."""

    def context(**fields: object) -> int:
        record = {"dim": 8192, "n_layers": 80, "n_heads": 64, "norm_eps": 1e-5, "vocab_size": -1, **fields}
        (tmp_path / "params.json").write_text(json.dumps(record))
        shapes = {"tok_embeddings.weight": (32000, 8192), "layers.0.feed_forward.w1.weight": (22016, 8192)}
        return make_config(read_params(tmp_path / "params.json"), [shapes]).max_position_embeddings

    assert context() == ARCHITECTURES["llama-65b"].max_position_embeddings == 2048
    assert ARCHITECTURES["llama-65b"].rms_norm_eps == 1e-5
    assert context(n_kv_heads=8) == ARCHITECTURES["llama-2-70b"].max_position_embeddings == 4096
    assert context(dim=4096, n_layers=32, n_heads=32) == 4096
    assert context(dim=4096, n_layers=32, n_heads=32, norm_eps=1e-6) == 2048


@pytest.mark.parametrize(
    ("name", "dim", "multiple_of", "factor"),
    [
        ("llama-7b", 4096, 256, None), ("llama-13b", 5120, 256, None), ("llama-65b", 8192, 256, None),
        ("llama-2-70b", 8192, 4096, 1.3), ("code-llama-34b", 8192, 256, 1.0), ("llama-3-8b", 4096, 1024, 1.3),
        ("llama-3-70b", 8192, 4096, 1.3), ("llama-3.1-405b", 16384, 4096, 1.2), ("llama-3.2-1b", 2048, 256, 1.5),
        ("llama-3.2-3b", 3072, 256, 1.0),
    ],
)  # fmt: skip
def test_inner_widths(tmp_path: Path, name: str, dim: int, multiple_of: int, factor: float | None) -> None:
    """As the params.json that come with the weights have it, against the published config.json."""
    record = {
        "dim": dim,
        "n_layers": 1,
        "n_heads": 8,
        "norm_eps": 1e-5,
        "vocab_size": 32000,
        "multiple_of": multiple_of,
    }
    (tmp_path / "params.json").write_text(json.dumps(record | {"ffn_dim_multiplier": factor}))
    config = make_config(read_params(tmp_path / "params.json"), [{}])
    assert config.intermediate_size == ARCHITECTURES[name].intermediate_size
