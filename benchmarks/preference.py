"""Training on preferences on a CPU: processor seconds of a step against TRL, and of the prompt read once or twice.

Run: python benchmarks/preference.py. The last line is one JSON object. All sides train the same weights on the same
pairs with the same AdamW, one thread, 16 pairs a step, and must have the same loss in the first step; a step is what it
takes after the first, which warms up. The shapes are those of LLaMA 2 (Touvron et al. 2023b, table 26), 798.5 tokens an
example of which the answer has 234.1, so that of a prompt and its answer 71% is prompt, all cut at 1,024 tokens; and
prompts of 40 tokens.

- TRL: DPOTrainer and RewardTrainer in an environment of its own, with its defaults: batches of 8, activations
  recomputed in the backward pass (`gradient_checkpointing`); then with `group_by_length`, which saves it padding, and
  without recomputation, as ours.
- reference in the step: the reference's log-probabilities are computed in every step; kept: before training.
- apart: our own with every prompt read twice.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.peers import trl_python
from benchmarks.spread import spread
from finetune.data.batches import Plan
from finetune.data.pieces import AnswerPieces
from finetune.data.preference_data import PreferenceData
from finetune.data.preference_documents import EncodedAnswers, lay_out
from finetune.data.token_data import TokenData
from finetune.data.token_store import TokenStore
from finetune.engine.update import run_update
from finetune.engine.worker import Worker
from finetune.folders import weights
from finetune.folders.score_head import with_score
from finetune.llama.config import LlamaConfig
from finetune.objectives.dpo import Dpo
from finetune.objectives.policy import Policy
from finetune.objectives.reward import Reward
from finetune.preference.reference import compute_log_probs
from finetune.preference_sections import DpoSection
from finetune.recipe import DataSource, OptimSection, PreferenceDataSection

PAIRS, STEPS, LONGEST, END, BETA = 16, 4, 1024, 2, 0.1
MICRO_BATCH = 4  # pairs of our forward pass, of the longest
CONFIG = LlamaConfig(
    vocab_size=2048, hidden_size=256, intermediate_size=688, num_hidden_layers=3, num_attention_heads=4,
    max_position_embeddings=4096, bos_token_id=None, eos_token_id=END,
)  # fmt: skip
Pair = dict[str, Any]


def draw_pairs(shape: str, seed: int = 2) -> list[Pair]:
    """Pairs of random tokens, log-normal in length: as LLaMA 2's (chat), or long answers to 40 tokens (short).

    With this seed 70% of an example of the first is prompt after the cut.
    """
    random = np.random.default_rng(seed)

    def lengths(mean: float, spread: float, count: int, longest: int) -> list[int]:
        drawn = random.lognormal(np.log(mean) - spread**2 / 2, spread, count)
        return [int(length) for length in np.clip(drawn, 1, longest)]

    def tokens(count: int) -> list[int]:
        return random.integers(3, CONFIG.vocab_size, count).tolist()

    pairs = []
    for _ in range(PAIRS):
        if shape == "chat":
            answers = lengths(234.1, 1.2, 2, LONGEST // 4)
            [prompt] = lengths(564.4, 1.2, 1, LONGEST - max(answers) - 1)
        else:
            answers, prompt = lengths(470.0, 1.0, 2, LONGEST + LONGEST // 2), 40
        chosen, rejected = ([*tokens(length), END] for length in answers)
        pairs.append({"prompt": tokens(prompt), "chosen": chosen, "rejected": rejected, "margin": 0.0})
    return pairs


def prompt_share(pairs: list[Pair]) -> float:
    prompts = sum(len(pair["prompt"]) for pair in pairs)
    return prompts / (prompts + sum(len(pair[side]) for pair in pairs for side in ("chosen", "rejected")))


def data_of(pairs: list[Pair], share: Callable[[EncodedAnswers], bool]) -> PreferenceData:
    """The pairs as documents, in memory."""
    encoded = [
        EncodedAnswers(
            *(np.array(pair["prompt"], np.int32),),
            tuple(np.array(pair[side], np.int32) for side in ("chosen", "rejected")),
        )
        for pair in pairs
    ]
    laid = [lay_out(each, share(each)) for each in encoded]
    parts = [zip(prompts, answers, strict=True) for _, prompts, answers in laid]
    trained = [np.full(n, of, np.float32) for part in parts for both in part for of, n in enumerate(both)]
    lengths = np.array([len(ids) for ids, _, _ in laid])
    prompts, answers = (np.array([n for each in laid for n in each[which]]) for which in (1, 2))
    store = TokenStore(np.concatenate([ids for ids, _, _ in laid]), np.concatenate(trained), 0)
    everything = np.arange(len(pairs))
    tokens = TokenData(
        (store,), lengths.cumsum() - lengths, lengths, np.unique(store.ids), everything, everything[:0], [],
        pieces=AnswerPieces(2 * np.arange(len(pairs) + 1), prompts, answers),
    )  # fmt: skip
    unknown = np.full(2 * len(pairs), -1, np.int8)
    return PreferenceData(tokens, unknown[: len(pairs)], unknown, Path())


def worker_of(folder: Path, longest: int) -> Worker:
    config = LlamaConfig.from_folder(folder)
    model = weights.load_model(folder, torch.float32, config=config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, weight_decay=0.0, fused=True)
    return Worker(Accelerator(cpu=True), model, model, optimizer, "none", False, 0, 1, MICRO_BATCH * longest, 0.0)


def ours(kind: str, pairs: list[Pair], folders: dict[str, Path], kept: bool, share: bool) -> tuple[float, list[float]]:
    """The loss of the first step, and the processor seconds of those after it."""
    data = data_of(pairs, lambda each: share and len(each.prompt) >= 0.25 * each.tokens)
    longest = int(data.tokens.lengths.max())
    section = PreferenceDataSection((DataSource("memory"),), "tokenizer", max_length=longest)
    plan = Plan(data.tokens, section, OptimSection(lr=1e-6, global_batch=PAIRS, updates=STEPS), seed=0)
    worker = worker_of(folders["reward" if kind == "reward" else "policy"], longest)
    objective: Policy | Reward
    reference = None if kind == "reward" else worker_of(folders["reference"], longest)
    if reference is None:
        objective = Reward("none", 0.0, data.labels, data.grades)
    else:
        objective = Policy(Dpo(DpoSection(beta=BETA)), data.labels, data.grades)
        objective.reference = compute_log_probs(reference, data, quiet=True)
    losses, seconds = [], []
    for update in range(STEPS):
        started = time.process_time()
        if reference is not None and not kept:
            assert isinstance(objective, Policy)
            objective.reference = compute_log_probs(reference, data, quiet=True)
        facts = run_update(worker, plan, update, 1e-6, objective, lambda: False, lambda: None)
        assert facts is not None
        losses.append(facts.loss)
        seconds.append(time.process_time() - started)
    return losses[0], seconds[1:]


def trl(
    kind: str, pairs: list[Pair], folders: dict[str, Path], kept: bool, sampling: str = "random", recompute: bool = True
) -> tuple[float, list[float]]:
    """The same of TRL."""
    with tempfile.TemporaryDirectory() as temporary:
        job = {
            "kind": kind, "pairs": pairs, "policy": str(folders["reward" if kind == "reward" else "policy"]),
            "reference": str(folders["reference"]), "output": temporary, "batch": 8, "accumulation": PAIRS // 8,
            "steps": STEPS, "sampling": sampling, "vocabulary": CONFIG.vocab_size, "beta": BETA, "loss": "sigmoid",
            "kept": kept, "recompute": recompute,
        }  # fmt: skip
        file = Path(temporary) / "job.json"
        file.write_text(json.dumps(job))
        script = Path(__file__).with_name("preference_trl.py")
        command = [str(trl_python()), str(script), str(file)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise SystemExit(f"TRL failed:\n{result.stderr[-3000:]}")
    answer = json.loads(result.stdout.strip().splitlines()[-1])
    return answer["loss"], answer["seconds"][1:]


def make_folders(root: Path) -> dict[str, Path]:
    """A reference, a policy a step away from it, and a reward model."""
    folders = {name: root / name for name in ("reference", "policy", "reward")}
    model = weights.init_model(CONFIG, seed=0)
    weights.save_model(model.state_dict(), CONFIG, folders["reference"])
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.01 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(weight.numel()))
    weights.save_model(model.state_dict(), CONFIG, folders["policy"])
    config = with_score(CONFIG)
    scoring = weights.load_model(folders["policy"], config=config, seed=1)
    weights.save_model(scoring.state_dict(), config, folders["reward"])
    return folders


def compare(what: str, own: tuple[float, list[float]], peer: tuple[float, list[float]], bar: float) -> dict[str, Any]:
    """One row: seconds of both, whose losses must be the same."""
    assert abs(own[0] - peer[0]) < 1e-4, f"{what}: not the same loss: {own[0]} and {peer[0]}"
    ours_s, peer_s = (statistics.median(seconds) for _, seconds in (own, peer))
    ratio = peer_s / ours_s
    print(f"{what}: {ours_s:.2f} s against {peer_s:.2f} s, x{ratio:.2f} (loss {own[0]:.6f})", flush=True)
    return {
        "what": f"{what}, processor seconds a step of {PAIRS} pairs",
        "ours": round(ours_s, 3),
        "peer": round(peer_s, 3),
        "ratio": round(ratio, 2),
        "spread": spread([theirs / mine for mine, theirs in zip(own[1], peer[1], strict=True)]),
        "bar": bar,
        "met": ratio >= bar,
    }


def main() -> None:
    torch.set_num_threads(1)
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        folders = make_folders(Path(temporary))
        for shape, title in (("chat", "long prompts"), ("short", "prompts of 40 tokens")):
            pairs = draw_pairs(shape)
            print(f"{title}: prompt {prompt_share(pairs):.0%} of prompt and answers", flush=True)
            in_step, kept = (ours("dpo", pairs, folders, kept, share=True) for kept in (False, True))
            peer = trl("dpo", pairs, folders, kept=False)
            results.append(compare(f"DPO, {title}, against TRL, reference in the step", in_step, peer, 4.0))
            if shape == "short":
                continue
            peer_kept = trl("dpo", pairs, folders, kept=True)
            results.append(compare(f"DPO, {title}, reference kept, against TRL in the step", kept, peer, 5.0))
            results.append(compare(f"DPO, {title}, against TRL, reference kept by both", kept, peer_kept, 5.0))
            grouped = trl("dpo", pairs, folders, kept=False, sampling="group_by_length")
            results.append(compare(f"DPO, {title}, against TRL with group_by_length", in_step, grouped, 2.0))
            plain = trl("dpo", pairs, folders, kept=False, recompute=False)
            results.append(compare(f"DPO, {title}, against TRL without recomputation", in_step, plain, 3.0))
            apart = ours("dpo", pairs, folders, kept=True, share=False)
            results.append(compare(f"DPO, {title}, prompt read once against twice", kept, apart, 1.4))
            own = ours("reward", pairs, folders, kept=True, share=True)
            results.append(
                compare(f"reward model, {title}, against TRL", own, trl("reward", pairs, folders, True), 3.5)
            )
    met = all(result["met"] for result in results)
    print(json.dumps({"name": "preference", "met": met, "results": results, "skipped": []}))


if __name__ == "__main__":
    main()
