"""PPO on a CPU: samples a second, from prompt to updated weights, against TRL 1.12, the last TRL that has PPO.

Run: python benchmarks/ppo.py. The last line is one JSON object. Both sides have the same policy, reward model and start
of the critic, the same prompts, answers of at most as many tokens, minibatches, one pass over the answers, KL to the
start, and AdamW; one thread each. An iteration samples, scores, measures and updates; seconds are those of all
iterations after the first of a round. TRL runs without recomputation, as we do, which makes it faster than its default.
"""

import json
import math
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.peers import ppo_python
from benchmarks.spread import spread
from camelid.config import from_tree
from camelid.files.read import read_jsonl
from camelid.message import Message
from conversations.tokens.template import get_template
from finetune.engine.freed_memory import keep_freed_memory
from finetune.folders import weights
from finetune.folders.score_head import with_score
from finetune.llama.config import LlamaConfig
from finetune.parallel.patience import Patience
from finetune.ppo.collect import AnswerMaker, Collector
from finetune.ppo.models import make_models
from finetune.ppo.prompts import PpoPrompt
from finetune.ppo.rewards import Rewards
from finetune.ppo.run_iterations import PpoRun, run_iterations
from finetune.ppo.sampler import NativeSampler
from finetune.recipe import PpoRecipe

BATCH, MINIBATCHES, ITERATIONS, END = 64, 4, 3, 2
ROUNDS = 2  # of both sides in turn, as other work on the machine comes and goes
MEAN = 40  # tokens of an answer of a model that ends them, geometric
BAR = 2.0  # times as many samples a second
# By name: shortest and longest prompt, most tokens of an answer, and whether answers end. Where none ends and prompts
# are alike there is no padding to save, and we make a forward pass more: log-probabilities are recomputed. The products
# of a sample are then 3.3e9 multiplications with TRL and 3.2e9 here, so twice as fast wants faster products, too.
SHAPES = {
    "prompts of 32 to 256 tokens, answers that end after 40 on average, 128 at most": (32, 256, 128, True),
    "prompts of 64 tokens, answers of 64 none of which ends": (64, 64, 64, False),
}
CONFIG = LlamaConfig(
    vocab_size=2048, hidden_size=256, intermediate_size=688, num_hidden_layers=3, num_attention_heads=4,
    max_position_embeddings=1024, bos_token_id=1, eos_token_id=END,
)  # fmt: skip


def draw_prompts(shortest: int, longest: int) -> list[list[int]]:
    """Prompts of random tokens, lengths uniform."""
    random = np.random.default_rng(2)
    lengths = random.integers(shortest, longest + 1, 4 * BATCH)
    return [random.integers(20, CONFIG.vocab_size, length).tolist() for length in lengths]


def make_folders(root: Path, ends: bool) -> dict[str, Path]:
    """A policy and a reward model, random, with a tokenizer that has a word for each id.

    Args:
        root: where.
        ends: whether the policy ends its answers: a feature that all its tokens share makes the end token that likely.
    """
    template = get_template("vicuna_v1.1")
    words = {"<pad>": 0, "<s>": 1, template.stop[0]: END, **{f"w{number}": number for number in range(3, 2048)}}
    core = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, unk_token="<pad>", pad_token="<pad>", bos_token="<s>", eos_token=template.stop[0]
    )
    tokenizer.chat_template = template.jinja
    folders = {}
    for name, config in (("policy", CONFIG), ("reward", with_score(CONFIG))):
        folders[name] = root / name
        state = weights.init_model(config, seed=0).state_dict()
        if ends and name == "policy":
            state["model.embed_tokens.weight"][:, 0] = 4.0  # 16 after the last norm, at a width of 256
            state["lm_head.weight"][:, 0] = 0.0
            state["lm_head.weight"][END, 0] = math.log(CONFIG.vocab_size / MEAN) / 16
        weights.save_model(state, config, folders[name])
        tokenizer.save_pretrained(folders[name])
    return folders


def ours(folders: dict[str, Path], prompts: list[list[int]], new: int, output: Path) -> list[float]:
    """Seconds of each iteration after the first."""
    tree = {
        "kind": "ppo",
        "model": {"path": str(folders["policy"])},
        "data": {"train": [{"path": "unused"}], "template": "vicuna_v1.1", "max_length": max(map(len, prompts))},
        "optim": {"lr": 1e-6, "global_batch": BATCH // MINIBATCHES, "updates": MINIBATCHES * ITERATIONS,
                  "micro_tokens": BATCH // MINIBATCHES * (max(map(len, prompts)) + new)},
        "ppo": {"rewards": {"r": str(folders["reward"])}, "batch": BATCH, "beta": 0.05, "max_new_tokens": new},
        "run": {"output": str(output), "precision": "fp32", "checkpoint_every": 10_000},
    }  # fmt: skip
    recipe = from_tree(PpoRecipe, tree, "benchmark")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folders["policy"])
    asked = [PpoPrompt(str(n), (Message("user", "?"),), {}, tuple(ids)) for n, ids in enumerate(prompts)]
    made = make_models(Accelerator(cpu=True), "none", recipe, Patience())
    maker = AnswerMaker(made.policy, NativeSampler(made.policy, recipe, tokenizer, [END]))
    rewards = Rewards(recipe.ppo.rewards, tokenizer)
    run = PpoRun(made, Collector(made, maker, rewards, asked, recipe), None, recipe, MINIBATCHES * ITERATIONS)
    run_iterations(run, quiet=True)
    seconds = [line["seconds"] for _, line in read_jsonl(output / "metrics.jsonl")]
    each = [sum(seconds[first : first + MINIBATCHES]) for first in range(0, len(seconds), MINIBATCHES)]
    return each[1:]


def trl(folders: dict[str, Path], prompts: list[list[int]], new: int, output: Path) -> list[float]:
    """The same of TRL."""
    job: dict[str, Any] = {
        "policy": str(folders["policy"]), "reward": str(folders["reward"]), "output": str(output / "trl"),
        "prompts": prompts, "batch": BATCH, "micro_batch": BATCH // MINIBATCHES, "minibatches": MINIBATCHES,
        "passes": 1, "iterations": ITERATIONS, "lr": 1e-6, "new_tokens": new, "beta": 0.05, "stop": True, "seed": 3,
        "vocabulary": CONFIG.vocab_size, "threads": 1,
    }  # fmt: skip
    output.mkdir(parents=True, exist_ok=True)
    (output / "job.json").write_text(json.dumps(job))
    command = [str(ppo_python()), str(Path(__file__).with_name("ppo_trl.py")), str(output / "job.json")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise SystemExit(f"TRL failed:\n{result.stderr[-3000:]}")
    seconds: list[float] = json.loads(result.stdout.strip().splitlines()[-1])["seconds"]
    return seconds[1:]


def main() -> None:
    torch.set_num_threads(1)
    keep_freed_memory()  # as the trainer does
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        for number, (title, (shortest, longest, new, ends)) in enumerate(SHAPES.items()):
            root = Path(temporary) / str(number)
            folders, prompts = make_folders(root, ends), draw_prompts(shortest, longest)
            own, peer = list[float](), list[float]()
            for turn in range(ROUNDS):
                own += ours(folders, prompts, new, root / f"ours-{turn}")
                peer += trl(folders, prompts, new, root / f"trl-{turn}")
            mine, theirs = (BATCH / statistics.median(seconds) for seconds in (own, peer))
            print(f"{title}: {mine:.2f} samples/s against {theirs:.2f}, x{mine / theirs:.2f}", flush=True)
            results.append(
                {
                    "what": f"PPO against TRL 1.12, {title}, samples a second",
                    "ours": round(mine, 3),
                    "peer": round(theirs, 3),
                    "ratio": round(mine / theirs, 2),
                    "spread": spread([slow / fast for fast, slow in zip(own, peer, strict=True)]),
                    "bar": BAR,
                    "met": mine >= BAR * theirs,
                }
            )
    met = all(result["met"] for result in results)
    print(json.dumps({"name": "ppo", "met": met, "results": results, "skipped": []}))


if __name__ == "__main__":
    main()
