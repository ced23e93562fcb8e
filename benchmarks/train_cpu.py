"""Training on a CPU: real tokens a second against transformers padded and packed, FastChat's padding, and TRL.

Run: python benchmarks/train_cpu.py. The last line is one JSON object. All sides train the same weights on the same
conversations with the same AdamW and must have the same loss; they take turns, and ratios are those of medians.

- HF padded: each batch of 8 (transformers' default) padded to its longest conversation, as a data collator does.
- HF packed: rows of 2048 with positions that start again, from which transformers makes a mask between documents.
- FastChat: every conversation padded to 2048, as fastchat/train/train.py does (`padding="max_length"`).
- TRL: SFTTrainer(packing=True) in an environment of its own, timed over whole steps by itself. Without flash-attn it
  lets packed documents see each other, so its loss is another and is not compared.

bf16 is used where the CPU multiplies it (AVX512-BF16 or AMX); elsewhere PyTorch is seven to ten times slower in it than
in float32, so float32 is used, and the JSON says so.

The distance to the floor is that of our step to the matrix products and the attention it is made of, run alone with
nothing between them (`benchmarks/floor.py`), in turns with the step, before any peer takes a turn: a floor that follows
a peer's step or process is up to a half slower, which would flatter us.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.floor import floor_of
from benchmarks.lengths import CAPACITY, alpaca_like, sharegpt_like
from benchmarks.peers import trl_python
from benchmarks.spread import spread
from finetune.data.packing import pack_documents
from finetune.engine.freed_memory import keep_freed_memory
from finetune.folders import weights
from finetune.llama.attention import Documents
from finetune.llama.config import LlamaConfig
from finetune.llama.model import Llama
from finetune.objectives.next_token import token_loss

ROOT = Path(__file__).parents[1]
ROUNDS = 3
FLOOR_ROUNDS = 5
BATCH = 8  # of the padded sides: transformers' default (TrainingArguments.per_device_train_batch_size)
# Proportions of LLaMA 7B at a sixteenth of its width; the vocabulary shrinks with it, so that logits keep their share.
CONFIG = LlamaConfig(
    vocab_size=2048, hidden_size=256, intermediate_size=688, num_hidden_layers=6, num_attention_heads=4,
    max_position_embeddings=CAPACITY,
)  # fmt: skip
BF16 = any(flag in Path("/proc/cpuinfo").read_text() for flag in ("avx512_bf16", "amx_bf16"))

# Measured with torch.profiler over a step of `ours` in float32 on 2 cores of an AMD EPYC.
WHY = (
    "half to two thirds of our step are matrix products at the processor's peak and a tenth (Alpaca-like) to a third"
    " (ShareGPT-like) is PyTorch's own flash attention, both of which the peers use, too; what is left to save is"
    " padding, logits and mask, and they are saved"
)

# The same, in bfloat16, on 2 cores of an AMD EPYC that has units for it.
FLOOR_WHY = (
    "four fifths (ShareGPT-like) to seven tenths (Alpaca-like) of a step are products and attention; the rest is rotary"
    " turns, norms and gates at a sixteenth of LLaMA's width, casts of float32 weights, logits, and calls of operators"
)

Chats = list[tuple[Tensor, Tensor]]  # (ids, labels) of each conversation; -100 = not trained
Step = Callable[[], float]


def chats_of(lengths: np.ndarray, turn: int, trained: float, random: np.random.Generator) -> Chats:
    """Conversations of random tokens: turns of `turn` tokens, whose last share `trained` is the answer."""
    return [chat(random, int(length), min(turn, int(length)), trained) for length in lengths]


def chat(random: np.random.Generator, length: int, turn: int, trained: float) -> tuple[Tensor, Tensor]:
    ids = torch.from_numpy(random.integers(3, CONFIG.vocab_size, length))
    asked = torch.from_numpy(np.arange(length) % turn < turn * (1 - trained))
    return ids, torch.where(asked, -100, ids)


def rows_of(chats: Chats) -> list[Chats]:
    lengths = np.array([len(ids) for ids, _ in chats])
    return [[chats[index] for index in row] for row in pack_documents(lengths, CAPACITY)]


def targets(chats: Chats) -> int:
    return sum(int((labels[1:] != -100).sum()) for _, labels in chats)


def optimizer_of(model: torch.nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)


def ours(model: Llama, optimizer: torch.optim.Optimizer, chats: Chats) -> float:
    total, count = 0.0, targets(chats)
    for row in rows_of(chats):
        ids = torch.cat([ids for ids, _ in row])
        labels = torch.cat([torch.cat([torch.tensor([-100]), labels[1:]]) for _, labels in row])
        trained = torch.nonzero(labels != -100)[:, 0]
        lengths = [len(ids) for ids, _ in row]
        positions = torch.cat([torch.arange(length) for length in lengths])
        head = partial(
            token_loss, positions_N=trained - 1, targets_N=labels[trained], weights_N=torch.ones(len(trained))
        )
        with torch.autocast("cpu", torch.bfloat16, enabled=BF16):
            loss = model(ids, positions, Documents.from_lengths(lengths), head=head) / count
        loss.backward()
        total += float(loss.detach())
    optimizer.step()
    optimizer.zero_grad()
    return total


def hf(model: Any, optimizer: torch.optim.Optimizer, batches: list[dict[str, Tensor]], count: int) -> float:
    total = 0.0
    for batch in batches:
        with torch.autocast("cpu", torch.bfloat16, enabled=BF16):
            loss = model(**batch, num_items_in_batch=torch.tensor(count)).loss
        loss.backward()
        total += float(loss.detach())
    optimizer.step()
    optimizer.zero_grad()
    return total


def packed(chats: Chats) -> list[dict[str, Tensor]]:
    batches = []
    for row in rows_of(chats):
        labels = [torch.cat([torch.tensor([-100]), labels[1:]]) for _, labels in row]
        positions = torch.cat([torch.arange(len(ids)) for ids, _ in row])
        ids = torch.cat([ids for ids, _ in row])
        batches.append({"input_ids": ids[None], "labels": torch.cat(labels)[None], "position_ids": positions[None]})
    return batches


def padded(chats: Chats, length: int | None) -> list[dict[str, Tensor]]:
    batches = []
    for start in range(0, len(chats), BATCH):
        part = chats[start : start + BATCH]
        width = length or max(len(ids) for ids, _ in part)
        ids, labels = (torch.full((len(part), width), fill) for fill in (0, -100))
        mask = torch.zeros(len(part), width, dtype=torch.long)
        for row, (own, answer) in enumerate(part):
            ids[row, : len(own)], labels[row, : len(own)], mask[row, : len(own)] = own, answer, 1
        batches.append({"input_ids": ids, "labels": labels, "attention_mask": mask})
    return batches


def compare(name: str, chats: Chats, folder: Path, bars: dict[str, float], most: float) -> list[dict[str, Any]]:
    """Medians of all sides over `ROUNDS` rounds in which each takes one step; ours at most `most` times its floor."""
    tokens, count = sum(len(ids) for ids, _ in chats), targets(chats)
    native, throwaway = (weights.load_model(folder, dtype=torch.float32) for _ in range(2))
    steps: dict[str, Step] = {"ours": partial(ours, native, optimizer_of(native), chats)}
    results = [distance(name, partial(ours, throwaway, optimizer_of(throwaway), chats), most)]
    batches = {
        "HF packed": packed(chats),
        "HF padded": padded(chats, None),
        "FastChat": padded(chats, CAPACITY),
    }
    for peer in bars:
        if peer in batches:
            model = AutoModelForCausalLM.from_pretrained(
                folder, dtype=torch.float32, attn_implementation="sdpa"
            ).train()
            model.config.use_cache = False  # with a cache, transformers would not look for documents in the positions
            steps[peer] = partial(hf, model, optimizer_of(model), batches[peer], count)
    losses = {side: step() for side, step in steps.items()}  # the first step warms up, from the same weights
    print(f"{name}: {len(chats)} conversations, {tokens:,} tokens; losses {losses}", flush=True)
    assert max(losses.values()) - min(losses.values()) < (2e-2 if BF16 else 1e-4), "not the same loss"
    seconds: dict[str, list[float]] = {side: [] for side in steps}
    for _ in range(ROUNDS):
        for side, step in steps.items():
            started = time.perf_counter()
            step()
            seconds[side].append(time.perf_counter() - started)
        if "TRL" in bars:
            seconds.setdefault("TRL", []).append(trl(chats, folder))
        print({side: round(times[-1], 2) for side, times in seconds.items()}, flush=True)
    rates = {side: tokens / statistics.median(times) for side, times in seconds.items()}
    print({side: f"{rate:,.0f} tokens/s" for side, rate in rates.items()}, flush=True)
    return results + [
        {
            "what": f"{name}, {'bf16' if BF16 else 'fp32'}, tokens/s against {peer}",
            "ours": round(rates["ours"]),
            "peer": round(rates[peer]),
            "ratio": round(rates["ours"] / rates[peer], 2),
            "spread": spread([theirs / own for own, theirs in zip(seconds["ours"], seconds[peer], strict=True)]),
            "bar": bar,
            "met": rates["ours"] / rates[peer] >= bar,
            "why": WHY,
        }
        for peer, bar in bars.items()
    ]


def distance(name: str, step: Step, most: float) -> dict[str, Any]:
    """Our step against its products and attention alone; both have run once before they are timed."""
    step()
    floor = floor_of(step)
    floor()
    floors, seconds = [], []
    for _ in range(FLOOR_ROUNDS):
        floors.append(floor())
        started = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - started)
    ours, least = statistics.median(seconds), statistics.median(floors)
    print(f"{name}: seconds a step {seconds}, of its products and attention {floors}", flush=True)
    return {
        "what": f"{name}, {'bf16' if BF16 else 'fp32'}, seconds a step against its products and attention alone",
        "ours": round(ours, 3),
        "peer": round(least, 3),
        "ratio": round(ours / least, 3),
        "spread": spread([own / alone for own, alone in zip(seconds, floors, strict=True)]),
        "bar": f"<= {most}",
        "met": ours <= most * least,
        "why": FLOOR_WHY,
    }


TRL = """
import sys, time
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, TrainerCallback
from trl import SFTConfig, SFTTrainer
folder, file, bf16 = sys.argv[1], sys.argv[2], sys.argv[3] == "True"
chats = torch.load(file)
data = Dataset.from_dict({"input_ids": [ids.tolist() for ids, _ in chats], "labels": [l.tolist() for _, l in chats]})
class Clock(TrainerCallback):
    times = []
    def on_step_begin(self, *args, **kwargs): self.started = time.perf_counter()
    def on_step_end(self, *args, **kwargs): self.times.append(time.perf_counter() - self.started)
from transformers import PreTrainedTokenizerFast
from tokenizers import Tokenizer as T, models
tokenizer = PreTrainedTokenizerFast(tokenizer_object=T(models.WordLevel({"<unk>": 0, "</s>": 2}, unk_token="<unk>")),
                                    pad_token="<unk>", eos_token="</s>")
settings = SFTConfig(output_dir=sys.argv[4], packing=True, max_length=2048, per_device_train_batch_size=1,
    gradient_accumulation_steps=64, num_train_epochs=2, learning_rate=1e-5, lr_scheduler_type="constant", bf16=bf16,
    use_cpu=True, report_to=[], save_strategy="no", optim="adamw_torch_fused", gradient_checkpointing=False,
    logging_strategy="no", disable_tqdm=True, dataloader_pin_memory=False,
    dataset_kwargs={"skip_prepare_dataset": False})
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
trainer = SFTTrainer(model=model, args=settings, train_dataset=data, processing_class=tokenizer, callbacks=[Clock()])
trainer.train()
print("SECONDS", Clock.times[-1])
"""


def trl(chats: Chats, folder: Path) -> float:
    """Seconds of one step of TRL over the conversations: the second, the first warms up."""
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "chats.pt"
        torch.save(chats, file)
        command = [str(trl_python()), "-c", TRL, str(folder), str(file), str(BF16), str(Path(temporary) / "out")]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise SystemExit(f"TRL failed:\n{result.stderr[-3000:]}")
    return float(result.stdout.split("SECONDS")[-1])


def main() -> None:
    keep_freed_memory()  # as the trainer does; for all sides, which share the process
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    chats = chats_of(sharegpt_like(24), 120, 0.7, random)
    instructions = chats_of(alpaca_like(48), CAPACITY, 0.5, random)
    bars = {"HF packed": 1.35, "HF padded": 3.5, "FastChat": 8.0, "TRL": 2.0}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        weights.save_model(weights.init_model(CONFIG, seed=0).state_dict(), CONFIG, folder)
        results = compare("ShareGPT-like", chats, folder, bars, 1.25)
        results += compare("Alpaca-like", instructions, folder, {"HF packed": 1.7, "HF padded": 2.1}, 1.4)
    no_units = "bf16: this CPU has no units for it; float32, seven to ten times as fast here, was timed instead"
    skipped = [] if BF16 else [no_units]
    met = all(result["met"] for result in results)
    print(json.dumps({"name": "train_cpu", "met": met, "results": results, "skipped": skipped}))


if __name__ == "__main__":
    main()
