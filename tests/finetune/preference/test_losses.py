"""Losses and every gradient against plain transformers in float64, one sequence at a time, up to 2,000 tokens."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus
from transformers import AutoTokenizer

from camelid.config import from_tree
from finetune.data.batches import Plan
from finetune.data.preference_data import PreferenceData, load_preferences, unit_of
from finetune.engine.update import UpdateFacts, run_update
from finetune.engine.worker import Worker
from finetune.folders import weights
from finetune.folders.score_head import with_score
from finetune.llama.config import LlamaConfig
from finetune.llama.model import Llama
from finetune.preference.objective_of import objective_of
from finetune.preference.reference import compute_log_probs
from finetune.recipe import KINDS, PreferenceRecipe
from tests.finetune.preference import truth

PAIRS = 4
Sums = dict[str, Any]
# The section of each case, and its loss of the answers' numbers, written from the papers.
CASES: dict[str, dict[str, Any]] = {
    "dpo": {"kind": "dpo", "dpo": {"beta": 0.1}},
    "dpo-smooth-sft": {"kind": "dpo", "dpo": {"beta": 0.3, "label_smoothing": 0.1, "sft": 0.5}},
    "ipo": {"kind": "dpo", "dpo": {"loss": "ipo", "beta": 0.2}},
    "norm": {"kind": "dpo", "dpo": {"loss": "norm", "beta": 5.0}},
    "kto": {"kind": "kto", "kto": {"beta": 0.1, "wanted": 1.0, "unwanted": 1.5}},
    "orpo": {"kind": "orpo", "orpo": {"weight": 0.25}},
    "simpo": {"kind": "simpo", "simpo": {"beta": 2.5, "margin": 1.4}},
    "reward": {"kind": "reward", "reward": {}},
    "reward-small-safety": {"kind": "reward", "reward": {"margins": "small", "safety": 0.7}},
    "reward-large": {"kind": "reward", "reward": {"margins": "large"}},
}


def dpo(s: Sums) -> Tensor:
    return -(0.1 * (s["pi_c"] - s["ref_c"]) - 0.1 * (s["pi_r"] - s["ref_r"])).sigmoid().log().mean()


def dpo_smooth_sft(s: Sums) -> Tensor:
    h = 0.3 * ((s["pi_c"] - s["pi_r"]) - (s["ref_c"] - s["ref_r"]))
    return (0.9 * softplus(-h) + 0.1 * softplus(h) - 0.5 * s["pi_c"] / s["len_c"]).mean()


def ipo(s: Sums) -> Tensor:
    h = (s["pi_c"] - s["ref_c"]) / s["len_c"] - (s["pi_r"] - s["ref_r"]) / s["len_r"]
    return ((h - 1 / (2 * 0.2)) ** 2).mean()


def norm(s: Sums) -> Tensor:
    return -logsigmoid(5 * s["pi_c"] / s["len_c"] - 5 * s["ref_c"] / s["len_c"]
                       - 5 * s["pi_r"] / s["len_r"] + 5 * s["ref_r"] / s["len_r"]).mean()  # fmt: skip


def orpo(s: Sums) -> Tensor:
    p_c, p_r = (s["pi_c"] / s["len_c"]).exp(), (s["pi_r"] / s["len_r"]).exp()
    ratio = (p_c / (1 - p_c)) / (p_r / (1 - p_r))
    return (-p_c.log() - 0.25 * torch.log(torch.sigmoid(torch.log(ratio)))).mean()


def simpo(s: Sums) -> Tensor:
    return -logsigmoid(2.5 / s["len_c"] * s["pi_c"] - 2.5 / s["len_r"] * s["pi_r"] - 1.4).mean()


def bradley_terry(margins: dict[Any, float], safety: float = 0.0) -> Callable[[Sums], Tensor]:
    def loss(s: Sums) -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for number, record in enumerate(s["records"]):
            chosen, rejected = s["score_c"][number], s["score_r"][number]
            total = total + softplus(-(chosen - rejected - margins.get(record["grade"], 0.0)))
            for score, side in ((chosen, "chosen"), (rejected, "rejected")):
                if safety and record["safety"] is not None:
                    right = score if record["safety"][side] else -score
                    total = total + safety * softplus(-right) / 2
        return total / len(s["records"])

    return loss


def kto(s: Sums) -> Tensor:
    far = max(0.0, float((s["pi_o"] - s["ref_o"]).mean()))  # no gradient goes through it
    gained = s["pi"] - s["ref"]
    value = torch.where(
        s["label"], 1 - torch.sigmoid(0.1 * (gained - far)), 1.5 * (1 - torch.sigmoid(0.1 * (far - gained)))
    )
    return value.mean()


TRUTHS: dict[str, Callable[[Sums], Tensor]] = {
    "dpo": dpo, "dpo-smooth-sft": dpo_smooth_sft, "ipo": ipo, "norm": norm, "kto": kto, "orpo": orpo, "simpo": simpo,
    "reward": bradley_terry({}),
    "reward-small-safety": bradley_terry({3: 1.0, 2: 2 / 3, 1: 1 / 3, 0: 0.0}, safety=0.7),
    "reward-large": bradley_terry({3: 3.0, 2: 2.0, 1: 1.0, 0: 0.0}),
}  # fmt: skip


@pytest.fixture(scope="module", params=[100, pytest.param(1900, marks=pytest.mark.slow)], ids=["short", "2000-tokens"])
def files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pairs, of which the last is long, and the same as single answers."""
    folder = tmp_path_factory.mktemp("preferences")
    pairs = truth.write_preferences(folder / "pairs.jsonl", PAIRS, last=request.param)
    return {"pairs": pairs, "answers": truth.write_labelled(folder / "answers.jsonl", pairs)}


@pytest.fixture(scope="module")
def reward_model(tmp_path_factory: pytest.TempPathFactory, toy_model: Path) -> Path:
    """A reward model away from its start, as a folder that both sides load."""
    folder = tmp_path_factory.mktemp("model") / "reward"
    config = with_score(LlamaConfig.from_folder(toy_model))
    model = truth.move(weights.load_model(toy_model, torch.float64, config=config, seed=3))
    weights.save_model(model.state_dict(), config, folder)
    AutoTokenizer.from_pretrained(toy_model).save_pretrained(folder)
    return folder


class Measured:
    """Numbers of every answer by transformers, and the gradient of each number by every weight."""

    def __init__(self, network: Any, measure: Callable[[Any, Any], Tensor], answers: list[truth.Answered]) -> None:
        self.values, self._slopes = [], []
        for answer in answers:
            value = measure(network, answer)
            self._slopes.append(truth.gradients(network, value))
            self.values.append(float(value.detach()))

    def truth(self, loss: Callable[[Tensor], Tensor]) -> tuple[float, dict[str, Tensor]]:
        """A loss of the numbers, and its gradient by the chain rule."""
        leaf = torch.tensor(self.values, dtype=torch.float64, requires_grad=True)
        value = loss(leaf)
        [by] = torch.autograd.grad(value, leaf)
        names = self._slopes[0]
        return float(value.detach()), {
            name: sum((by[index] * slope[name] for index, slope in enumerate(self._slopes)), torch.zeros(()))
            for name in names
        }


@pytest.fixture(scope="module")
def measured(toy_model: Path, reward_model: Path, files: dict[str, Path]) -> dict[str, Any]:
    """Of every answer to every prompt: log-probability by policy and reference, and score."""
    records = truth.read(files["pairs"])
    pairs = [
        truth.tokenise(toy_model, record["prompt"], record[side]["content"])
        for record in records
        for side in ("chosen", "rejected")
    ]
    labelled = truth.read(files["answers"])
    said = [record["answer"]["content"] for record in labelled]
    others = [said[1], *said[:-1]]  # the answer of the prompt before; the first prompt's is the second's
    single = [truth.tokenise(toy_model, one["prompt"], text) for one, text in zip(labelled, said, strict=True)]
    single += [truth.tokenise(toy_model, one["prompt"], text) for one, text in zip(labelled, others, strict=True)]

    def score(network: Any, answer: truth.Answered) -> Tensor:
        return network(answer.ids[None]).logits[0, 0]

    policy, reference = truth.policy(toy_model), truth.reference(toy_model)
    found: dict[str, Any] = {"records": records, "labels": torch.tensor([one["label"] for one in labelled])}
    found["tokens"] = torch.tensor([answer.tokens for answer in pairs], dtype=torch.float64)
    with torch.no_grad():
        for name, answers in (("pairs", pairs), ("answers", single)):
            found[f"reference-{name}"] = torch.stack([truth.log_prob(reference, answer) for answer in answers])
    found["pairs"] = Measured(policy, truth.log_prob, pairs)
    found["answers"] = Measured(policy, truth.log_prob, single)
    found["scores"] = Measured(truth.scorer(reward_model), score, pairs)
    return found


def truth_of(case: str, measured: dict[str, Any]) -> tuple[float, dict[str, Tensor]]:
    loss, kind = TRUTHS[case], CASES[case]["kind"]
    if kind == "kto":
        before = measured["reference-answers"].view(2, -1)

        def of_answers(leaf: Tensor) -> Tensor:
            now = leaf.view(2, -1)
            return loss(
                {
                    "pi": now[0],
                    "pi_o": now[1].detach(),
                    "ref": before[0],
                    "ref_o": before[1],
                    "label": measured["labels"],
                }
            )

        return measured["answers"].truth(of_answers)  # type: ignore[no-any-return]
    if kind == "reward":
        return measured[
            "scores"
        ].truth(  # type: ignore[no-any-return]
            lambda leaf: loss({"records": measured["records"], "score_c": leaf[::2], "score_r": leaf[1::2]})
        )
    before, tokens = measured["reference-pairs"], measured["tokens"]
    return measured["pairs"].truth(  # type: ignore[no-any-return]
        lambda leaf: loss(
            {"pi_c": leaf[::2], "pi_r": leaf[1::2], "ref_c": before[::2], "ref_r": before[1::2],
             "len_c": tokens[::2], "len_r": tokens[1::2]}
        )
    )  # fmt: skip


def recipe_of(case: str, folder: Path, files: dict[str, Path]) -> PreferenceRecipe:
    kind = CASES[case]["kind"]
    tree = {
        "model": {"path": str(folder)},
        "data": {
            "train": [{"path": str(files["answers" if kind == "kto" else "pairs"])}],
            "template": truth.TEMPLATE,
            "max_length": 8192,
        },
        "optim": {"lr": 1.0, "global_batch": PAIRS},
        "run": {"output": "unused", "precision": "fp32"},
        **CASES[case],
    }
    return from_tree(KINDS[kind], tree, case)  # type: ignore[return-value]


def worker_of(model: Llama, micro_tokens: int) -> Worker:
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    return Worker(Accelerator(cpu=True), model, model, optimizer, "none", False, 0, 1, micro_tokens, 0.0)


def load(recipe: PreferenceRecipe, cache: Path, share_from: float) -> PreferenceData:
    tokenizer = AutoTokenizer.from_pretrained(recipe.model.path)
    return load_preferences(cache, recipe.data, tokenizer, 0, unit_of(recipe), share_from)


def one_update(
    recipe: PreferenceRecipe, data: PreferenceData, start: Path, dtype: torch.dtype, together: int
) -> tuple[UpdateFacts, dict[str, Tensor]]:
    """Facts and gradients of an update with every preference in it, with room for so many of the longest in a pass."""
    micro_tokens = together * int(data.tokens.lengths.max())
    reward = recipe.kind == "reward"
    model = weights.load_model(start, dtype)
    reference = None
    if not reward:
        first = worker_of(weights.load_model(start, dtype), micro_tokens)
        reference = compute_log_probs(first, data, quiet=True)
        truth.move(model)
    worker = worker_of(model, micro_tokens)
    found: dict[str, Tensor] = {}

    def note() -> tuple[float, bool]:
        found.update(
            {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
        )
        return 0.0, True

    worker.step = note  # type: ignore[method-assign]
    plan = Plan(data.tokens, recipe.data, recipe.optim, 0)
    facts = run_update(worker, plan, 0, 0.0, objective_of(recipe, data, reference), lambda: False, lambda: None)
    assert facts is not None
    return facts, found


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    ("dtype", "share_from", "together"),
    [(torch.float64, 0.0, 3), (torch.float64, 2.0, 1), (torch.float32, 0.25, 4)],
    ids=["float64-shared", "float64-apart", "float32"],
)
def test_loss_and_gradients_are_the_truths(
    case: str,
    dtype: torch.dtype,
    share_from: float,
    together: int,
    toy_model: Path,
    reward_model: Path,
    files: dict[str, Path],
    measured: dict[str, Any],
    tmp_path: Path,
) -> None:
    start = reward_model if case.startswith("reward") else toy_model
    recipe = recipe_of(case, start, files)
    data = load(recipe, tmp_path, share_from)
    facts, ours = one_update(recipe, data, start, dtype, together)
    loss, theirs = truth_of(case, measured)
    exact = dtype == torch.float64
    assert facts.loss == pytest.approx(loss, rel=1e-9 if exact else 1e-6)
    assert ours.keys() == theirs.keys()
    scale = max(float(gradient.abs().max()) for gradient in theirs.values())
    for name, gradient in ours.items():
        torch.testing.assert_close(
            gradient.double(),
            theirs[name],
            rtol=0,
            atol=(1e-9 if exact else 2e-5) * scale,
            msg=lambda m, n=name: f"{n}: {m}",
        )
