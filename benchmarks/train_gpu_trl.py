"""TRL's side of the one-GPU benchmark: SFTTrainer on packed rows of ids. Run by `train_gpu.py` in TRL's environment.

It prints one JSON object: real tokens and seconds of each step, and the peak memory.
"""

import importlib.util
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from tokenizers import Tokenizer, models
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast, TrainerCallback
from trl import SFTConfig, SFTTrainer


class Steps(TrainerCallback):
    """Seconds of each step, and the tokens that were seen by its end."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.seen: list[int] = []

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        self.started = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds.append(time.perf_counter() - self.started)
        self.seen.append(int(state.num_input_tokens_seen))


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    on_gpu = torch.cuda.is_available()
    flash = "flash_attention_2" if on_gpu and importlib.util.find_spec("flash_attn") else "sdpa"
    with torch.device("cuda" if on_gpu else "cpu"):
        model = AutoModelForCausalLM.from_config(
            LlamaConfig(**job["config"]), attn_implementation=flash, dtype=torch.bfloat16
        )
    settings = SFTConfig(
        output_dir=job["output"],
        packing=True,
        max_length=job["capacity"],
        per_device_train_batch_size=job["micro_batch"],
        gradient_accumulation_steps=job["global_batch"] // job["micro_batch"],
        max_steps=job["steps"],
        learning_rate=2e-5,
        lr_scheduler_type="constant",
        max_grad_norm=1.0,
        bf16=job["rank"] > 0,
        gradient_checkpointing=True,
        use_cpu=not on_gpu,
        optim="adamw_torch_fused",
        include_num_input_tokens_seen="non_padding",
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        dataloader_pin_memory=on_gpu,
    )
    words = Tokenizer(models.WordLevel({"<unk>": 0, "</s>": 2}, unk_token="<unk>"))
    steps = Steps()
    trainer = SFTTrainer(
        model=model,
        args=settings,
        train_dataset=Dataset.from_list(torch.load(job["chats"])),
        processing_class=PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<unk>", eos_token="</s>"),
        peft_config=LoraConfig(r=job["rank"], lora_alpha=job["alpha"], target_modules=job["targets"])
        if job["rank"]
        else None,
        callbacks=[steps],
    )
    trainer.train()
    tokens = [end - start for start, end in zip([0, *steps.seen], steps.seen, strict=False)]
    peak = torch.cuda.max_memory_allocated() / 2**30 if on_gpu else 0.0
    print(json.dumps({"tokens": tokens, "seconds": steps.seconds, "peak_gib": peak}))


main()  # no guard: a file with one is a benchmark of its own to run_all.py
