"""Folders of weights, ours and transformers', safe and pickled; what is broken is named."""

import dataclasses
import json
import os
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers import LlamaConfig as PeerConfig
from transformers import LlamaForCausalLM as Peer

from camelid.app.cli import main
from camelid.errors import UserError
from finetune.folders import weights
from finetune.llama.config import LlamaConfig
from tests.finetune.bad_disk import largest_file
from tests.finetune.folders.tiny_folders import CONFIG, logits, save, transformers_logits
from tests.finetune.llama.packed_documents import BASE, packed, random_documents


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


def test_files_have_the_umasks_mode(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        save(CONFIG, 1, tmp_path / "model")
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "model").iterdir()}
    assert set(modes.values()) == {0o640}, modes


def test_wrong_folders_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    model = save(CONFIG, 1, tmp_path / "good")
    config = dataclasses.replace(CONFIG, intermediate_size=64)
    weights.save_model(model.state_dict(), config, tmp_path / "wrong")
    assert main(["weights", "import", str(tmp_path / "wrong"), str(tmp_path / "new")]) == 2
    assert not (tmp_path / "new").exists()
    file = tmp_path / "good" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(UserError, match=r"model\.safetensors: broken or cut off .*; copy it again"):
        weights.load_model(tmp_path / "good")


def test_no_room_for_the_weights(tmp_path: Path) -> None:
    with largest_file(4096), pytest.raises(UserError, match=r"model\.safetensors: could not be written: .*too large"):
        save(CONFIG, 1, tmp_path / "model")
    assert not (tmp_path / "model").exists()
