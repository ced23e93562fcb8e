"""TRL's side of preference training: what its trainers make of pairs of token ids. Run by `preference.py`.

It runs in TRL's environment and prints one JSON object: the loss of the first step, the processor seconds of each step
after it, and, of a first step alone, where its gradients were written.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedTokenizerFast,
    TrainerCallback,
)

END = 2
LONGEST = 1 << 20  # tokens; the trainers of `trl.experimental` take no None


class Steps(TrainerCallback):
    """Processor seconds of each step, and the gradients of the first."""

    def __init__(self, gradients: str | None) -> None:
        self.seconds: list[float] = []
        self.gradients = gradients

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        self.started = time.process_time()

    def on_pre_optimizer_step(self, *args: Any, model: Any, **kwargs: Any) -> None:
        if self.gradients and not self.seconds:
            torch.save({name: weight.grad.clone() for name, weight in model.named_parameters()}, self.gradients)

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        self.seconds.append(time.process_time() - self.started)


def number_tokenizer(vocabulary: int) -> PreTrainedTokenizerFast:
    """A word for each id, so that text is ids."""
    words = {f"w{number}": number for number in range(3, vocabulary)}
    core = Tokenizer(models.WordLevel({"<pad>": 0, "<unk>": 1, "</s>": END, **words}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>", pad_token="<pad>", eos_token="</s>")


def text(ids: list[int]) -> str:
    return "".join(f" w{number}" for number in ids)


def preferences(pairs: list[dict[str, Any]]) -> Dataset:
    """Pairs as text; the trainers add the end of an answer."""
    rows = [
        {"prompt": text(pair["prompt"]), **{side: text(pair[side][:-1]) for side in ("chosen", "rejected")}}
        for pair in pairs
    ]
    return Dataset.from_list(rows)


def reward_trainer(job: dict[str, Any], settings: dict[str, Any], **common: Any) -> Any:
    from trl import RewardConfig, RewardTrainer

    sides = ("chosen", "rejected")
    rows = [
        {**{f"{side}_ids": pair["prompt"] + pair[side] for side in sides}, "margin": pair["margin"]}
        for pair in job["pairs"]
    ]
    model = AutoModelForSequenceClassification.from_pretrained(job["policy"], dtype=torch.float32)
    model.config.pad_token_id = 0
    return RewardTrainer(model=model, args=RewardConfig(**settings), train_dataset=Dataset.from_list(rows), **common)


def dpo_trainer(job: dict[str, Any], settings: dict[str, Any], **common: Any) -> Any:
    from trl import DPOConfig, DPOTrainer

    options = {"beta": job["beta"], "loss_type": [job["loss"]], "precompute_ref_log_probs": job["kept"]}
    trainer = DPOTrainer(
        model=language_model(job["policy"]),
        ref_model=language_model(job["reference"]),
        args=DPOConfig(**settings, **options, remove_unused_columns=False),
        train_dataset=preferences(job["pairs"]),
        **common,
    )
    # What `group_by_length` reads. The trainer drops the column when it makes ids of the texts.
    lengths = [
        len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["rejected_ids"])) for row in trainer.train_dataset
    ]
    trainer.train_dataset = trainer.train_dataset.add_column("length", lengths)
    return trainer


def kto_trainer(job: dict[str, Any], settings: dict[str, Any], **common: Any) -> Any:
    """Of each pair the chosen answer and its label; the trainer itself takes the answer before for the other."""
    from trl import KTOConfig, KTOTrainer

    rows = [
        {"prompt": text(pair["prompt"]), "completion": text(pair["chosen"][:-1]), "label": pair["label"]}
        for pair in job["pairs"]
    ]
    options = {"beta": job["beta"], "undesirable_weight": job["unwanted"]}
    return KTOTrainer(
        model=language_model(job["policy"]),
        ref_model=language_model(job["reference"]),
        args=KTOConfig(**settings, **options),
        train_dataset=Dataset.from_list(rows),
        **common,
    )


def orpo_trainer(job: dict[str, Any], settings: dict[str, Any], **common: Any) -> Any:
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    args = ORPOConfig(**{**settings, "max_length": LONGEST}, beta=job["beta"])
    return ORPOTrainer(
        model=language_model(job["policy"]), args=args, train_dataset=preferences(job["pairs"]), **common
    )


def simpo_trainer(job: dict[str, Any], settings: dict[str, Any], **common: Any) -> Any:
    from trl.experimental.cpo import CPOConfig, CPOTrainer

    options = {"loss_type": "simpo", "cpo_alpha": 0.0, "beta": job["beta"], "simpo_gamma": job["margin"]}
    args = CPOConfig(**{**settings, "max_length": LONGEST}, **options)
    return CPOTrainer(model=language_model(job["policy"]), args=args, train_dataset=preferences(job["pairs"]), **common)


def language_model(folder: str) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


TRAINERS = {
    "reward": reward_trainer, "dpo": dpo_trainer, "kto": kto_trainer, "orpo": orpo_trainer, "simpo": simpo_trainer,
}  # fmt: skip


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(1)
    settings = {
        "output_dir": job["output"], "per_device_train_batch_size": job["batch"],
        "gradient_accumulation_steps": job["accumulation"], "max_steps": job["steps"], "learning_rate": 1e-6,
        "lr_scheduler_type": "constant", "bf16": False, "use_cpu": True, "report_to": [], "save_strategy": "no",
        "optim": "adamw_torch_fused", "gradient_checkpointing": job["recompute"], "logging_steps": 1,
        "disable_tqdm": True, "dataloader_pin_memory": False, "max_length": None, "max_grad_norm": 0.0,
        "train_sampling_strategy": job["sampling"],
    }  # fmt: skip
    tokenizer, steps = number_tokenizer(job["vocabulary"]), Steps(job.get("gradients"))
    trainer = TRAINERS[job["kind"]](job, settings, processing_class=tokenizer, callbacks=[steps])
    trainer.train()
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    print(json.dumps({"loss": losses[0], "seconds": steps.seconds}))


main()  # no guard: a file with one is a benchmark of its own to run_all.py
