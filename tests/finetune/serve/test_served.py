"""What is served is what the folder and its adapter compute."""

from pathlib import Path

from finetune.serve.served import open_served


def test_an_adapter_changes_the_weights(lively_model: Path, tmp_path: Path) -> None:
    """The served model computes what peft's own, unmerged, computes."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(lively_model, dtype=torch.float32)
    tuned = get_peft_model(base, LoraConfig(r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False))
    tuned.save_pretrained(tmp_path / "lora")
    ours = open_served(lively_model, "tuned", str(tmp_path / "lora"))
    plain = open_served(lively_model, "plain")
    ids = torch.tensor([5, 9, 40, 7])
    from finetune.llama.attention import Documents

    with torch.no_grad():
        mine, before = (one.model(ids, torch.arange(4), Documents.from_lengths([4])) for one in (ours, plain))
        torch.testing.assert_close(mine, tuned.eval()(ids[None]).logits[0], atol=1e-3, rtol=1e-3)
    assert (mine - before).abs().max() > 0.1 and ours.fingerprint != plain.fingerprint
