"""Weights from and to other layouts: Meta's, pickles, adapters, deltas, a larger vocabulary."""

import copy
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from camelid.app.cli import main
from camelid.errors import UserError
from finetune.folders import weights
from finetune.llama.attention import Documents
from finetune.llama.config import LlamaConfig
from finetune.llama.model import Llama

CONFIG = LlamaConfig(
    vocab_size=96, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, rms_norm_eps=1e-5, max_position_embeddings=4096, initializer_range=0.2,
)  # fmt: skip
IDS = torch.randint(0, 90, (25,), generator=torch.Generator().manual_seed(0))


def logits(model: Any) -> Tensor:
    with torch.no_grad():
        if isinstance(model, Llama):
            return model(IDS, torch.arange(len(IDS)), Documents.from_lengths([len(IDS)]))
        out: Tensor = model(IDS[None]).logits[0]
        return out


def transformers_logits(folder: Path) -> Tensor:
    return logits(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32))


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


def write_meta(folder: Path, shards: int) -> dict[str, Tensor]:
    """A random checkpoint in Meta's layout, split as for tensor parallelism."""
    generator = torch.Generator().manual_seed(1)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator) * 0.2

    width, inner, kv = CONFIG.hidden_size, CONFIG.intermediate_size, CONFIG.kv_heads * CONFIG.head_size
    state = {"tok_embeddings.weight": random(96, width), "norm.weight": 1 + random(width)}
    state |= {"output.weight": random(96, width), "rope.freqs": torch.zeros(4)}
    split = {"tok_embeddings.weight": 1, "output.weight": 0}
    for layer in range(CONFIG.num_hidden_layers):
        for name, shape, dimension in (
            ("attention.wq", (width, width), 0), ("attention.wk", (kv, width), 0), ("attention.wv", (kv, width), 0),
            ("attention.wo", (width, width), 1), ("feed_forward.w1", (inner, width), 0),
            ("feed_forward.w2", (width, inner), 1), ("feed_forward.w3", (inner, width), 0),
        ):  # fmt: skip
            state[f"layers.{layer}.{name}.weight"] = random(*shape)
            split[f"layers.{layer}.{name}.weight"] = dimension
        state[f"layers.{layer}.attention_norm.weight"] = 1 + random(width)
        state[f"layers.{layer}.ffn_norm.weight"] = 1 + random(width)
    folder.mkdir()
    for shard in range(shards):
        part = {n: t.chunk(shards, split[n])[shard].clone() if n in split else t for n, t in state.items()}
        torch.save(part, folder / f"consolidated.{shard:02d}.pth")
    params = {"dim": width, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "norm_eps": 1e-5, "vocab_size": -1}
    (folder / "params.json").write_text(json.dumps(params))
    return state


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


def test_meta_tokenizer_gives_sentencepieces_ids(tmp_path: Path) -> None:
    import random

    from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

    rng = random.Random(0)
    words = "the quick brown fox jumps over lazy dog hello world 0 1 2 3".split()
    SentencePieceTrainer.train(
        sentence_iterator=iter([" ".join(rng.choices(words, k=8)) for _ in range(500)]),
        model_prefix=str(tmp_path / "tokenizer"), vocab_size=340, model_type="bpe", byte_fallback=True,
        normalization_rule_name="identity", remove_extra_whitespaces=False, split_digits=True, minloglevel=2,
    )  # fmt: skip
    write_meta(tmp_path / "meta", 1)
    assert main(["weights", "import", str(tmp_path / "meta"), str(tmp_path / "model")]) == 0  # tokenizer one level up
    theirs, ours = (
        SentencePieceProcessor(str(tmp_path / "tokenizer.model")),
        AutoTokenizer.from_pretrained(tmp_path / "model"),
    )
    letters = "abcdefghijklmnop qrstuvwxyz   0123 é€世\n\t😀."
    texts = ["".join(rng.choices(letters, k=rng.randint(1, 30))) for _ in range(500)]
    for text in [*texts, "hello world", "  two  spaces "]:
        ids = ours(text).input_ids
        assert ids == [theirs.bos_id(), *theirs.encode(text)]
        assert ours.decode(ids, skip_special_tokens=True) == text


def save(config: LlamaConfig, seed: int, folder: Path) -> Llama:
    model = weights.init_model(config, seed)
    weights.save_model(model.state_dict(), config, folder)
    return model


def test_pickled_folders(tmp_path: Path) -> None:
    model = save(CONFIG, 2, tmp_path / "safe")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "config.json").write_bytes((tmp_path / "safe" / "config.json").read_bytes())
    names = sorted(model.state_dict())
    parts = {"a.bin": names[:7], "b.bin": names[7:]}
    for file, own in parts.items():
        torch.save({name: model.state_dict()[name].clone() for name in own}, tmp_path / "old" / file)
    index = {"weight_map": {name: file for file, own in parts.items() for name in own}}
    (tmp_path / "old" / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    assert torch.equal(logits(weights.load_model(tmp_path / "old")), logits(model))
    assert main(["weights", "import", str(tmp_path / "old"), str(tmp_path / "new")]) == 0
    torch.testing.assert_close(transformers_logits(tmp_path / "new"), logits(model), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("options", [{}, {"use_dora": True}, {"use_rslora": True}])
def test_adapters_travel_both_ways(tmp_path: Path, options: dict[str, Any]) -> None:
    """Trained on the native module: loads in transformers + peft, and merges. Trained there: merges here."""
    base = save(CONFIG, 3, tmp_path / "base")
    lora = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj"], **options)

    def perturbed(model: Any) -> Any:
        generator = torch.Generator().manual_seed(4)
        with torch.no_grad():
            for name, parameter in sorted(model.named_parameters()):
                if "lora_" in name:
                    parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
        return model.eval()

    ours = perturbed(get_peft_model(base, lora))
    positions, documents = torch.arange(len(IDS)), Documents.from_lengths([len(IDS)])
    with torch.no_grad():
        truth = ours(IDS, positions, documents)
    ours.save_pretrained(tmp_path / "ours")
    peer = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tmp_path / "base"), tmp_path / "ours")
    torch.testing.assert_close(logits(peer), truth, atol=1e-5, rtol=1e-5)
    plain = transformers_logits(tmp_path / "base")
    assert (truth - plain).abs().max() > 0.01

    theirs = perturbed(get_peft_model(AutoModelForCausalLM.from_pretrained(tmp_path / "base"), lora))
    theirs.save_pretrained(tmp_path / "theirs")
    for adapter in ("ours", "theirs"):
        merged = tmp_path / f"merged-{adapter}"
        assert main(["weights", "merge", str(tmp_path / "base"), str(tmp_path / adapter), str(merged)]) == 0
        torch.testing.assert_close(transformers_logits(merged), truth, atol=2e-5, rtol=1e-4)


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


def test_a_folder_we_save_loads_in_transformers_unchanged(tmp_path: Path, toy_model: Path) -> None:
    ours, config = weights.load_model(toy_model), LlamaConfig.from_folder(toy_model)
    peer, tokenizer = AutoModelForCausalLM.from_pretrained(toy_model), AutoTokenizer.from_pretrained(toy_model)
    torch.testing.assert_close(logits(peer), logits(ours), atol=1e-5, rtol=1e-5)
    ids = [config.bos_token_id, config.eos_token_id, config.pad_token_id]
    assert [peer.config.bos_token_id, peer.config.eos_token_id, peer.config.pad_token_id] == ids
    generation = GenerationConfig.from_pretrained(toy_model)
    assert [generation.bos_token_id, generation.eos_token_id, generation.pad_token_id] == ids
    assert [tokenizer.bos_token_id, tokenizer.eos_token_id] == ids[:2]
    chat = [{"role": "user", "content": "Hello!"}, {"role": "assistant", "content": "Hi."}]
    assert tokenizer.apply_chat_template(chat, tokenize=False).endswith("USER: Hello! ASSISTANT: Hi.</s>")
    # transformers' copy of it is the same folder to us: every field and tensor comes back.
    peer.save_pretrained(tmp_path / "copy")
    assert LlamaConfig.from_folder(tmp_path / "copy") == config
    for name, tensor in weights.load_model(tmp_path / "copy").state_dict().items():
        assert torch.equal(tensor, ours.state_dict()[name]), name


def test_deltas(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also where the tuned model has a token more, as Alpaca's had."""
    base, tuned = tmp_path / "base", tmp_path / "tuned"
    save(CONFIG, 5, base)
    save(dataclasses.replace(CONFIG, vocab_size=97), 6, tuned)
    delta, back = tmp_path / "delta", tmp_path / "back"
    assert main(["weights", "delta", str(base), str(tuned), str(delta)]) == 0
    assert main(["weights", "merge", str(base), str(delta), str(back)]) == 0
    torch.testing.assert_close(transformers_logits(back), transformers_logits(tuned), atol=1e-5, rtol=1e-5)
    difference = weights.load_model(tuned).lm_head.weight - weights.load_model(delta).lm_head.weight
    torch.testing.assert_close(difference[:96], weights.load_model(base).lm_head.weight)
    assert main(["weights", "merge", str(base), str(tuned), str(tmp_path / "x")]) == 2
    assert "if it holds delta weights, say --delta" in capsys.readouterr().err
    save(dataclasses.replace(CONFIG, num_hidden_layers=3), 6, tmp_path / "deeper")
    assert main(["weights", "delta", str(base), str(tmp_path / "deeper"), str(tmp_path / "x")]) == 2
    assert "another architecture" in capsys.readouterr().err


@pytest.mark.parametrize("tied", [False, True])
def test_resize(tmp_path: Path, toy_model: Path, tied: bool) -> None:
    old = weights.load_model(toy_model)
    config = dataclasses.replace(old.config, tie_word_embeddings=tied)
    weights.save_model(old.state_dict(), config, tmp_path / "model")
    for file in toy_model.glob("*token*"):
        (tmp_path / "model" / file.name).write_bytes(file.read_bytes())
    command = ["weights", "resize", str(tmp_path / "model"), str(tmp_path / "larger"), "--multiple-of", "64"]
    assert main([*command, "--add-tokens", "[PAD]", "<tool>"]) == 0
    new, tokenizer = weights.load_model(tmp_path / "larger"), AutoTokenizer.from_pretrained(tmp_path / "larger")
    size = old.config.vocab_size
    assert new.config.vocab_size == 448 == -(-(size + 2) // 64) * 64
    assert tokenizer.convert_tokens_to_ids("[PAD]") == size and tokenizer("<tool>").input_ids[-1] == size + 1
    for before, after in (
        (old.model.embed_tokens.weight, new.model.embed_tokens.weight),
        ((old.model.embed_tokens if tied else old.lm_head).weight, new.lm_head.weight),
    ):
        assert torch.equal(after[:size], before)
        torch.testing.assert_close(after[size:], before.mean(0).expand(448 - size, -1))
    peer = AutoModelForCausalLM.from_pretrained(tmp_path / "larger", dtype=torch.float32)
    torch.testing.assert_close(logits(peer), logits(new), atol=1e-5, rtol=1e-5)
