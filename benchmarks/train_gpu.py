"""One GPU: a random 7B at 2048 tokens, full, LoRA, QLoRA and in 8 bits, the runner's own code against transformers.

Run: python benchmarks/train_gpu.py (on one H100). The last line is one JSON object. Every side runs in a process of
its own, so that its peak memory is its own, one after the other on the same ShareGPT-like conversations:

- native: `run_update` as the recipes use it, layers compiled. Full: bfloat16 weights and moments with stochastic
  rounding, gradients in float32.
- native eager: the same without compiling.
- HF packed: transformers, rows of 2048 with positions that start again, gradient checkpointing, flash-attn if there.
- HF padded: the same, each batch padded to its longest conversation.
- HF packed + Liger: the first with Liger's kernels, if liger-kernel is installed.
- TRL: SFTTrainer(packing=True) in an environment of its own (`train_gpu_trl.py`), full and LoRA. Without flash-attn it
  lets packed documents see each other.

transformers' full fine-tune holds weights, gradients and AdamW's moments in bfloat16 too, so that it fits.

Then 100 updates of 128 instructions as long as those of Alpaca, from which the time of its 52,002 in three passes is
reckoned; and answers: a random 7B writes 128 tokens to each of 1 and of 64 prompts of 128 tokens, in recorded steps
(CUDA graphs) and in steps made anew.
"""

import importlib.util
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

from accelerate import Accelerator

from benchmarks.peers import trl_python
from finetune.data.batches import Plan
from finetune.data.token_data import TokenData
from finetune.data.token_store import TokenStore
from finetune.engine.adapter import add_adapter
from finetune.engine.float8 import use_float8
from finetune.engine.load import load_quantised
from finetune.engine.optimizer import make_optimizer
from finetune.engine.update import run_update
from finetune.engine.wide_gradients import WideGradients
from finetune.engine.worker import Worker
from finetune.folders import weights
from finetune.generate.decode import PromptJob, answer_jobs
from finetune.generate.decoder import Decoder
from finetune.generate.sampling import Sampling
from finetune.generate.slots import round_up
from finetune.layout import Layout
from finetune.llama.architectures import get_architecture
from finetune.llama.config import LlamaConfig
from finetune.llama.model import Llama
from finetune.memory import estimate_memory
from finetune.objectives.next_token import NextToken
from finetune.parallel.hardware import flops_per_token, peak_flops
from finetune.parallel.launch import Precision
from finetune.recipe import AdapterSection, DataSection, DataSource, ModelSection, OptimSection, RunSection

CAPACITY, WARM_UP, STEPS, CHATS = 2048, 2, 3, 2000
INSTRUCTIONS, EPOCHS, INSTRUCTION_STEPS = 52_002, 3, 100  # Stanford Alpaca's data and passes
# As many sequences a pass as the memory bars leave room for; of padded ones 8, transformers' default.
OPTIMS = {
    "full": OptimSection(lr=2e-5, global_batch=16, micro_batch=1, epochs=1),
    "lora": OptimSection(lr=2e-5, global_batch=16, micro_batch=2, epochs=1),
    "qlora": OptimSection(lr=2e-5, global_batch=16, micro_batch=2, epochs=1),
    # All matrices are rounded anew in each micro-batch, so these must be large, with little kept of each.
    "fp8": OptimSection(lr=2e-5, global_batch=16, micro_batch=8, epochs=1),
    "alpaca": OptimSection(lr=2e-5, global_batch=8, micro_batch=1, epochs=1),  # 128 instructions of 128 tokens
}
PADDED_BATCH = 8
PROMPT, ANSWER, BATCHES = 128, 128, (1, 64)
ADAPTERS = {
    "full": AdapterSection(),
    "lora": AdapterSection(kind="lora", rank=16),
    "qlora": AdapterSection(kind="qlora", rank=16),
    "fp8": AdapterSection(),
    "alpaca": AdapterSection(),
}
PRECISIONS: dict[str, Precision] = {
    "full": "bf16-pure", "lora": "bf16", "qlora": "bf16", "fp8": "fp8", "alpaca": "bf16-pure",
}  # fmt: skip
NEEDS = {"qlora": "bitsandbytes", "fp8": "torchao"}  # packages of ours
# Of QLoRA what is measured is told, nothing is promised.
BARS = {
    "full": {"rate": 10_000, "gib": 72},
    "lora": {"rate": 15_000, "gib": 32},
    "fp8": {"rate": 16_000, "gib": 72},
    "alpaca": {"minutes": 40, "gib": 72},
}
RATIOS = {"HF packed": 1.3, "HF padded": 2.5}


def conversations(vocab_size: int, kind: str) -> TokenData:
    """Random ids in ShareGPT-like lengths, or in Alpaca's; 70% of the tokens are answers of about 85 tokens."""
    random = np.random.default_rng(0)
    # Alpaca's `text` column on the Hub has about 530 bytes a row, the template's among them: 128 tokens of LLaMA.
    count, median, deviation = (20_000, 4.7, 0.55) if kind == "alpaca" else (CHATS, 6.2, 0.9)
    lengths = np.clip(random.lognormal(median, deviation, count), 32, CAPACITY).astype(np.int64)
    places = np.concatenate([np.arange(length) for length in lengths])
    ids = random.integers(3, vocab_size, lengths.sum()).astype(np.int32)
    return TokenData(
        stores=(TokenStore(ids, (places % 120 >= 36).astype(np.float32), 0),),
        starts=lengths.cumsum() - lengths,
        lengths=lengths,
        used=np.arange(3, vocab_size),
        training=np.arange(count),
        validation=np.zeros(0, dtype=np.int64),
        ledgers=[],
    )


def plan_of(data: TokenData, kind: str) -> Plan:
    section = DataSection((DataSource("random ids"),), "vicuna_v1.1", CAPACITY)
    return Plan(data, section, OPTIMS[kind], seed=0)


def native(kind: str, config: LlamaConfig, device: torch.device, compiled: bool) -> dict[str, Any]:
    """Tokens a second, and the planner's memory against the measured peak."""
    adapter, optim = ADAPTERS[kind], OPTIMS[kind]
    run, section = (
        RunSection("bench", precision=PRECISIONS[kind]),
        ModelSection("bench", recompute="full" if kind == "fp8" else "selective"),
    )
    unwrapped = random_model(kind, config, device)
    if run.precision == "fp8":
        use_float8(unwrapped, device)
    unwrapped.set_recompute(section.recompute)
    model = unwrapped if adapter.kind == "none" else add_adapter(unwrapped, adapter, "bench", seed=0)
    optimizer = make_optimizer(model.parameters(), optim, run.pure)
    wide = WideGradients() if run.pure else None
    if wide is not None:
        wide.watch(model.parameters())
    unwrapped.set_compiled(compiled)
    accelerator = Accelerator(cpu=device.type == "cpu")
    worker = Worker(  # as `make_worker` makes it, of random weights
        accelerator, model.to(device), unwrapped, optimizer, "none", not run.pure, 0, 1, optim.micro_batch,
        optim.clip_norm, wide,
    )  # fmt: skip
    data = conversations(config.vocab_size, kind)
    plan = plan_of(data, kind)

    def update(number: int) -> int:
        facts = run_update(worker, plan, number, optim.lr, NextToken(), lambda: False, lambda: None)
        assert facts is not None and not facts.skipped
        return facts.tokens

    facts = timed(update, device, INSTRUCTION_STEPS if kind == "alpaca" else STEPS)
    planned = sum(estimate_memory(config, section, optim, adapter, run, CAPACITY, Layout(), compiled).values())
    return facts | {"planned_gib": planned / 2**30}


def random_model(kind: str, config: LlamaConfig, device: torch.device) -> Llama:
    """Ours, with random weights; in 4 bits by way of a folder, from which alone it is read so."""
    if kind != "qlora":
        return weights.init_model(config, seed=0, dtype=torch.bfloat16, device=str(device))
    with random_folder(config) as folder:
        return load_quantised(folder, torch.bfloat16, ADAPTERS[kind].targets, str(device))


@contextmanager
def random_folder(config: LlamaConfig) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        state = weights.init_model(config, seed=0, dtype=torch.bfloat16).state_dict()
        weights.save_model(state, config, folder)
        yield str(folder)


def transformers(kind: str, config: LlamaConfig, device: torch.device, packed: bool, liger: bool) -> dict[str, Any]:
    """The same of transformers."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig
    from transformers import LlamaConfig as PeerConfig

    if liger:
        from liger_kernel.transformers import apply_liger_kernel_to_llama

        apply_liger_kernel_to_llama()
    flash = "flash_attention_2" if importlib.util.find_spec("flash_attn") and device.type == "cuda" else "sdpa"
    if kind == "qlora":
        bits = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )  # fmt: skip
        with random_folder(config) as folder:
            model = AutoModelForCausalLM.from_pretrained(
                folder, attn_implementation=flash, dtype=torch.bfloat16, quantization_config=bits, device_map=device
            )
    else:
        with device:
            model = AutoModelForCausalLM.from_config(
                PeerConfig(**config.to_json()), attn_implementation=flash, dtype=torch.bfloat16
            )
    model.config.use_cache = False
    model.gradient_checkpointing_enable({"use_reentrant": False})
    adapter = ADAPTERS[kind]
    if adapter.kind != "none":
        settings = LoraConfig(r=adapter.rank, lora_alpha=adapter.alpha, target_modules=list(adapter.targets))
        model = get_peft_model(model, settings)
    model.train()
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=2e-5, fused=True)
    data = conversations(config.vocab_size, kind)
    plan = plan_of(data, kind)

    def update(number: int) -> int:
        rows = plan.rows(number)
        documents = np.concatenate(rows)
        count = torch.tensor(data.trained_tokens(documents), device=device)
        for batch in (
            packed_batches(data, rows, OPTIMS[kind].micro_batch) if packed else padded_batches(data, documents)
        ):
            on_device = {name: tensor.to(device) for name, tensor in batch.items()}
            with torch.autocast(device.type, torch.bfloat16, enabled=adapter.kind != "none"):
                loss = model(**on_device, num_items_in_batch=count).loss
            loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return int(data.lengths[documents].sum())

    return timed(update, device)


def trl(kind: str, config: LlamaConfig) -> dict[str, Any]:
    """The same of TRL, whose rows are packed by itself."""
    data, optim, adapter = conversations(config.vocab_size, kind), OPTIMS[kind], ADAPTERS[kind]
    chats = [labelled(data, document) for document in range(data.documents)]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        torch.save([{"input_ids": ids.tolist(), "labels": labels.tolist()} for ids, labels in chats], folder / "chats")
        job = {
            "config": config.to_json(), "chats": str(folder / "chats"), "output": str(folder / "out"),
            "capacity": CAPACITY, "micro_batch": optim.micro_batch, "global_batch": optim.global_batch,
            "steps": WARM_UP + STEPS, "rank": adapter.rank if adapter.kind == "lora" else 0, "alpha": adapter.alpha,
            "targets": list(adapter.targets),
        }  # fmt: skip
        (folder / "job.json").write_text(json.dumps(job))
        script = Path(__file__).with_name("train_gpu_trl.py")
        command = [str(trl_python()), str(script), str(folder / "job.json")]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise SystemExit(result.stderr.strip().splitlines()[-1])
    facts = json.loads(result.stdout.splitlines()[-1])
    rates = [tokens / seconds for tokens, seconds in zip(facts["tokens"], facts["seconds"], strict=True)]
    return {"rate": statistics.median(rates[WARM_UP:]), "peak_gib": facts["peak_gib"], "tokens": facts["tokens"]}


def labelled(data: TokenData, document: int) -> tuple[Tensor, Tensor]:
    """Ids and labels of a document."""
    ids, weights = map(torch.from_numpy, data.document(document))
    trained = weights > 0
    trained[0] = False
    return ids, torch.where(trained, ids, -100)


def packed_batches(data: TokenData, rows: list[Any], micro_batch: int) -> list[dict[str, Tensor]]:
    batches = []
    for start in range(0, len(rows), micro_batch):  # one long row, as DataCollatorWithFlattening makes it
        parts = [labelled(data, document) for row in rows[start : start + micro_batch] for document in row]
        batches.append(
            {
                "input_ids": torch.cat([ids for ids, _ in parts])[None],
                "labels": torch.cat([labels for _, labels in parts])[None],
                "position_ids": torch.cat([torch.arange(len(ids)) for ids, _ in parts])[None],
            }
        )
    return batches


def padded_batches(data: TokenData, documents: Any) -> list[dict[str, Tensor]]:
    batches = []
    for start in range(0, len(documents), PADDED_BATCH):
        parts = [labelled(data, document) for document in documents[start : start + PADDED_BATCH]]
        pad = partial(torch.nn.utils.rnn.pad_sequence, batch_first=True)
        batches.append(
            {
                "input_ids": pad([ids for ids, _ in parts]),
                "labels": pad([labels for _, labels in parts], padding_value=-100),
                "attention_mask": pad([torch.ones(len(ids), dtype=torch.long) for ids, _ in parts]),
            }
        )
    return batches


def timed(update: Any, device: torch.device, steps: int | None = None) -> dict[str, Any]:
    """Real tokens a second over updates after the warm-up (median), peak memory, and graphs compiled late."""
    from torch._dynamo.utils import counters

    rates: list[float] = []
    seconds: list[float] = []
    graphs = 0
    for number in range(WARM_UP + (STEPS if steps is None else steps)):
        if number == WARM_UP:
            graphs = counters["stats"]["unique_graphs"]
        started = time.perf_counter()
        tokens = update(number)
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
        rates.append(tokens / seconds[-1])
    peak = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else 0.0
    late = counters["stats"]["unique_graphs"] - graphs
    mean = statistics.fmean(seconds[WARM_UP:])
    return {"rate": statistics.median(rates[WARM_UP:]), "seconds": mean, "peak_gib": peak, "recompiles": late}


class NoWords:
    """A tokenizer of a model that has no words."""

    def decode(self, ids: list[int], **options: Any) -> str:
        return "." * len(ids)


def answering(batch: int, config: LlamaConfig, device: torch.device) -> dict[str, Any]:
    """Tokens a second that a random model answers with, over all answers, the second time.

    With recorded steps, as everywhere, and with steps made anew.
    """
    model = weights.init_model(config, seed=0, dtype=torch.bfloat16, device=str(device)).eval()
    prompts = torch.randint(3, config.vocab_size, (batch, PROMPT), generator=torch.Generator().manual_seed(0)).tolist()
    rates = {}
    for name, call in (("rate", None), ("anew", model)):
        for _ in range(2):
            started = time.perf_counter()
            jobs = [PromptJob(prompt, seed, Sampling(ANSWER, temperature=1.0)) for seed, prompt in enumerate(prompts)]
            decoder = Decoder[PromptJob](model, NoWords(), [], batch, batch * round_up(PROMPT + ANSWER), call)
            answers = answer_jobs(decoder, jobs)
            assert all(len(answer.ids) == ANSWER for answer in answers)
            rates[name] = batch * ANSWER / (time.perf_counter() - started)
    return rates


def leg(kind: str, side: str) -> dict[str, Any] | str:
    """Run one side in a process of its own; a text says why there is no result."""
    if (package := missing(kind, side)) is not None:
        return f"{package} is not installed"
    result = subprocess.run([sys.executable, __file__, kind, side], capture_output=True, text=True, check=False)
    if result.returncode:
        return result.stderr.strip().splitlines()[-1] if result.stderr.strip() else f"exit {result.returncode}"
    facts: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return facts


def rows_of(
    kind: str, mine: dict[str, Any], peers: dict[str, dict[str, Any]], config: LlamaConfig
) -> list[dict[str, Any]]:
    """The results of one kind of training against its bars."""
    bars = BARS.get(kind, {})
    data = conversations(config.vocab_size, kind)
    length = float(np.average(data.lengths, weights=data.lengths))
    share = data.trained_tokens(data.training) / data.tokens
    peak = peak_flops(torch.cuda.get_device_name()) or float("nan")
    error = mine["planned_gib"] / mine["peak_gib"] - 1

    def row(what: str, ours: float, peer: float | None, bar: str, met: bool) -> dict[str, Any]:
        ratio = round(ours / peer, 2) if peer else None
        return {"what": f"{kind}: {what}", "ours": ours, "peer": peer, "ratio": ratio, "bar": bar, "met": met}

    rate, fits = round(mine["rate"]), mine["peak_gib"] <= bars.get("gib", math.inf)
    mfu = round(rate * flops_per_token(config, length, share, ADAPTERS[kind].kind != "none") / peak, 3)
    rows = [
        row("tokens/s", rate, None, said(">=", bars.get("rate")), rate >= bars.get("rate", 0)),
        row("MFU", mfu, None, "none", True),
        row("peak GiB", round(mine["peak_gib"], 2), None, said("<=", bars.get("gib")), fits),
        row("planner error", round(error, 3), None, "<= 0.08 either way", abs(error) <= 0.08),
        row("recompiles after warm-up", mine["recompiles"], None, "0", mine["recompiles"] == 0),
    ]
    if "minutes" in bars:
        minutes = mine["seconds"] * INSTRUCTIONS * EPOCHS / data.documents * plan_of(data, kind).updates / 60
        rows.append(row("minutes for the whole", round(minutes, 1), None, "<= 40", minutes <= bars["minutes"]))
    for side, peer in peers.items():
        bar = RATIOS.get(side) if bars else None
        met = bar is None or rate / peer["rate"] >= bar
        rows.append(row(f"tokens/s against {side}", rate, round(peer["rate"]), said(">=", bar), met))
        print(f"{kind} {side}: peak {peer['peak_gib']:.1f} GiB", flush=True)
    return rows


def said(sign: str, bar: float | None) -> str:
    return "none" if bar is None else f"{sign} {bar}"


def sides_of(kind: str) -> list[str]:
    """Who trains that, beside ours compiled."""
    if kind in ("fp8", "alpaca"):
        return ["native eager"] if kind == "fp8" else []
    return ["native eager", "HF packed", "HF padded", "HF packed + Liger", *(["TRL"] if kind != "qlora" else [])]


def missing(kind: str, side: str) -> str | None:
    """The package that a leg lacks."""
    packages = ("liger_kernel" if "Liger" in side else None, NEEDS.get(kind))
    return next((name for name in packages if name is not None and importlib.util.find_spec(name) is None), None)


def all_bars() -> list[str]:
    """What a machine without a GPU leaves unmeasured."""
    return [
        f"7B {kind}: {name} {bar:,}"
        for kind, bars in BARS.items()
        for name, bar in (bars | ({} if kind == "alpaca" else RATIOS)).items()
    ]


def main() -> None:
    results: list[dict[str, Any]] = []
    skipped = []
    if torch.cuda.is_available():
        config = get_architecture("llama-7b")
        print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}", flush=True)
        for batch in BATCHES:
            written = leg("answers", str(batch))
            if isinstance(written, str):
                skipped.append(f"answers to {batch}: {written}")
            else:
                what = f"tokens/s of answers to {batch} prompts"
                mine, anew = round(written["rate"], 1), round(written["anew"], 1)
                results.append({"what": what, "ours": mine, "steps made anew": anew, "bar": "none", "met": True})
        for kind in ADAPTERS:
            # bitsandbytes' products are no part of a graph (`finetune.combinations`).
            first, *others = sides_of(kind) if kind == "qlora" else ["native", *sides_of(kind)]
            mine, peers = leg(kind, first), {side: leg(kind, side) for side in others}
            skipped += [f"{kind} {side}: {why}" for side, why in peers.items() if isinstance(why, str)]
            if isinstance(mine, str):
                skipped.append(f"{kind} native: {mine}")
                continue
            results += rows_of(kind, mine, {k: v for k, v in peers.items() if not isinstance(v, str)}, config)
            for result in results:
                print(result, flush=True)
    else:
        skipped += [f"{bar}: no CUDA device" for bar in all_bars()]
    met = bool(results) and all(result["met"] for result in results)
    print(json.dumps({"name": "train_gpu", "met": met, "results": results, "skipped": skipped}))


def one_leg(kind: str, side: str, config: LlamaConfig, device: torch.device) -> dict[str, Any]:
    if kind == "answers":
        return answering(int(side), config, device)
    if side == "TRL":
        return trl(kind, config)
    if side.startswith("native"):
        return native(kind, config, device, compiled=side == "native")
    return transformers(kind, config, device, packed="packed" in side, liger="Liger" in side)


if __name__ == "__main__":
    if len(sys.argv) == 3:  # a leg, in a process of its own
        print(json.dumps(one_leg(sys.argv[1], sys.argv[2], get_architecture("llama-7b"), torch.device("cuda"))))
    else:
        main()
