"""TRL's side of PPO: what its trainer makes of prompts of token ids. Run by `ppo.py` and by a test.

It runs in TRL's environment and prints one JSON object, the wall-clock seconds of each iteration; of one backward pass,
everything that TRL knew at that moment is written to a file if the job asks for it.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedTokenizerFast,
    TrainerCallback,
)
from trl.experimental.ppo import PPOConfig, PPOTrainer

KEPT = (
    "mb_advantage", "mb_responses", "mb_query_responses", "mb_logprobs", "mb_return", "mb_values", "pg_loss", "vf_loss",
    "rewards", "values", "scores", "logprobs", "ref_logprobs", "advantages", "returns", "micro_batch_inds",
)  # fmt: skip


class Clock(TrainerCallback):
    """When each iteration ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_begin(self, *args: Any, **options: Any) -> None:
        self.ends.append(time.perf_counter())

    def on_step_end(self, *args: Any, **options: Any) -> None:
        self.ends.append(time.perf_counter())


def number_tokenizer(vocabulary: int) -> PreTrainedTokenizerFast:
    """It is asked for its special tokens alone."""
    words = {"<pad>": 0, "<unk>": 1, "</s>": 2, **{f"w{number}": number for number in range(3, vocabulary)}}
    core = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>", pad_token="<pad>", eos_token="</s>")


def keep_pass(trainer: Any, number: int, path: str) -> None:
    """Write what TRL's loop knows at a backward pass, counted from 1, with weights and gradients."""
    backward, calls = trainer.accelerator.backward, iter(range(1, 10**6))

    def keeping(loss: torch.Tensor) -> None:
        backward(loss)
        if next(calls) != number:
            return
        known = sys._getframe(1).f_locals
        found = {name: torch.as_tensor(known[name]).detach().clone() for name in KEPT}
        found["weights"] = {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}
        named = trainer.model.named_parameters()
        found["gradients"] = {name: weight.grad.clone() for name, weight in named if weight.grad is not None}
        torch.save(found, path)

    trainer.accelerator.backward = keeping


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(job["threads"])
    clock = Clock()
    policy, reference = (
        AutoModelForCausalLM.from_pretrained(job[name], dtype=torch.float32) for name in ("policy",) * 2
    )
    reward, value = (
        AutoModelForSequenceClassification.from_pretrained(job["reward"], dtype=torch.float32) for _ in range(2)
    )
    settings = PPOConfig(
        output_dir=job["output"], per_device_train_batch_size=job["micro_batch"],
        gradient_accumulation_steps=job["batch"] // job["micro_batch"], num_mini_batches=job["minibatches"],
        num_ppo_epochs=job["passes"], total_episodes=job["batch"] * job["iterations"], learning_rate=job["lr"],
        lr_scheduler_type="constant", bf16=False, use_cpu=True, report_to=[], save_strategy="no",
        gradient_checkpointing=False, num_sample_generations=0, response_length=job["new_tokens"], temperature=1.0,
        kl_coef=job["beta"], vf_coef=0.1, cliprange=0.2, cliprange_value=0.2, gamma=1.0, lam=0.95,
        whiten_rewards=False, missing_eos_penalty=None, disable_tqdm=True, dataloader_pin_memory=False,
        seed=job["seed"], optim="adamw_torch_fused", stop_token="eos" if job["stop"] else None,
    )  # fmt: skip
    trainer = PPOTrainer(
        args=settings, processing_class=number_tokenizer(job["vocabulary"]), model=policy, ref_model=reference,
        reward_model=reward, value_model=value, callbacks=[clock],
        train_dataset=Dataset.from_list([{"input_ids": ids} for ids in job["prompts"]]),
    )  # fmt: skip
    if job.get("keep"):
        keep_pass(trainer, job["kept_pass"], job["keep"])
    trainer.train()
    print(json.dumps({"seconds": [after - before for before, after in zip(clock.ends, clock.ends[1:], strict=False)]}))


main()  # no guard: a file with one is a benchmark of its own to run_all.py
