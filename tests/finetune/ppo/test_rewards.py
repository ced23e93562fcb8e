"""What answers are worth: verifiable rewards, programs of the user's, reward models, and LLaMA 2's rule of two."""

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from camelid.app.cli import main
from camelid.errors import UserError
from camelid.message import Message
from finetune.folders import weights
from finetune.folders.score_head import with_score
from finetune.llama.config import LlamaConfig
from finetune.ppo import verify
from finetune.ppo.overrated import overrated_line
from finetune.ppo.prompts import PpoPrompt
from finetune.ppo.rewards import Rewards, critic_start
from finetune.ppo.verify import VERIFIABLE, Answered, command_reward, function_reward
from tests.finetune.ppo.world import recipe_of
from tests.finetune.runs import metrics, run
from tests.sandboxes import need_sandbox


def answered(text: str, ids: tuple[int, ...] = (5, 2), **meta: Any) -> Answered:
    return Answered(PpoPrompt("p", (Message("user", "?"),), meta, (1, 4)), ids, text, True)


@pytest.mark.parametrize(
    ("text", "wanted", "right"),
    [
        ("7", "7", True),
        ("It is 12,000.", "12000", True),
        ("3 + 4 = 7", 7, True),
        ("7 is not it, 8 is", "7", False),
        ("so \\boxed{-2.50} is it, not 3", "-2.5", True),
        ("seven", "7", False),
        ("", "7", False),
        (" Paris ", "paris", True),
        ("In Paris", "Paris", False),
        ("the answer: \\boxed{x + 1}", "x  + 1", True),
    ],
)
def test_exact_answers(text: str, wanted: object, right: bool) -> None:
    assert VERIFIABLE["exact"]([answered(text, answer=wanted)]) == [float(right)]


def test_a_prompt_without_an_answer_is_named() -> None:
    with pytest.raises(UserError, match=r"prompt p: no meta\.answer"):
        VERIFIABLE["exact"]([answered("7")])


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ('{"name": "a", "age": 3}', True),
        ('```json\n{"name": "a", "age": 3}\n```', True),
        ('{"name": "a", "age": "3"}', False),
        ('{"name": "a"', False),
        ("[" * 100_000, False),
    ],
)
def test_json_schema(text: str, right: bool) -> None:
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
    assert VERIFIABLE["json-schema"]([answered(text, schema=schema)]) == [float(right)]
    with pytest.raises(UserError, match=r"meta\.schema is no JSON Schema"):
        VERIFIABLE["json-schema"]([answered(text, schema={"type": "objekt"})])


def test_unit_tests() -> None:
    need_sandbox()
    code = "```python\ndef f(x):\n    return x + 1\n```"
    found = VERIFIABLE["unit-tests"](
        [answered(code, tests="assert f(1) == 2"), answered(code, tests="assert f(1) == 3")]
    )
    assert found == [1.0, 0.0]


def test_programs_of_the_users(tmp_path: Path) -> None:
    script = tmp_path / "count.py"
    script.write_text(
        "import json, sys\nfor line in sys.stdin:\n    r = json.loads(line)\n"
        "    print(len(r['answer']) + r['meta']['bonus'])\n"
    )
    asked = [answered("abc", bonus=1), answered("", bonus=0.5)]
    assert command_reward(f"command: {sys.executable} {script}")(asked) == [4.0, 0.5]
    script.write_text("def worth(prompt, answer, meta):\n    return len(answer) * len(prompt) + meta['bonus']\n")
    assert function_reward(f"{script}:worth")(asked) == [4.0, 0.5]
    with pytest.raises(UserError, match="has no function 'other'"):
        function_reward(f"{script}:other")
    for text, says in (
        ("print(1)", "printed 1 numbers for 2 answers"),
        ("print('good')\nprint(2)", "something else than a number"),
        ("import sys\nsys.exit('broken')", "ended with status 1: broken"),
    ):
        script.write_text(text)
        with pytest.raises(UserError, match=says):
            command_reward(f"command: {sys.executable} {script}")(asked)
    with pytest.raises(UserError, match="no such file: nowhere"):
        function_reward("nowhere.py:worth")


def test_a_program_that_hangs_does_not_hang_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "LONGEST", 1)
    hangs = f"command: {sys.executable} -c 'import time; time.sleep(60)'"
    with pytest.raises(UserError, match="took more than 1 s for 2 answers"):
        command_reward(hangs)([answered("a"), answered("b")])


def test_a_function_that_fails_is_named_with_its_line(tmp_path: Path) -> None:
    script = tmp_path / "worth.py"
    for text, says in (
        ("def worth(prompt, answer, meta):\n    return meta['bonus']\n",
         r"failed for an answer to prompt p: KeyError: 'bonus' \(.*worth\.py, line 2\)"),
        ("def worth(prompt, answer, meta):\n    return None\n", "failed for an answer to prompt p: TypeError: "),
    ):  # fmt: skip
        script.write_text(text)
        with pytest.raises(UserError, match=says):
            function_reward(f"{script}:worth")([answered("abc")])
    script.write_text("import nowhere_to_be_found\n")
    with pytest.raises(UserError, match="failed: ModuleNotFoundError"):
        function_reward(f"{script}:worth")


@pytest.fixture(scope="module")
def models(toy_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two reward models that read the toy's tokens."""
    folder, config = tmp_path_factory.mktemp("rewards"), with_score(LlamaConfig.from_folder(toy_model))
    for number, name in enumerate(("helpful", "safe")):
        state = weights.init_model(config, seed=number).state_dict()
        state["score.weight"] *= 300
        weights.save_model(state, config, folder / name)
        AutoTokenizer.from_pretrained(toy_model).save_pretrained(folder / name)
    return {name: folder / name for name in ("helpful", "safe")}


def test_reward_models_read_the_ids_that_were_sampled(models: dict[str, Path], toy_model: Path) -> None:
    """And say what transformers says of them, at the end token."""
    import torch
    from transformers import AutoModelForSequenceClassification

    tokenizer = AutoTokenizer.from_pretrained(toy_model)
    asked = [answered("", (7, 9, 300, 2)), answered("", (2,)), answered("", tuple(range(50, 90)))]
    rewards = Rewards({name: str(folder) for name, folder in models.items()}, tokenizer)
    found = rewards.scores(asked)
    for row, folder in zip(found, models.values(), strict=True):
        model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
        with torch.no_grad():
            theirs = [float(model(torch.tensor([[*each.prompt.ids, *each.ids]])).logits) for each in asked]
        np.testing.assert_allclose(row, theirs, rtol=1e-5, atol=1e-5)


def test_llama2s_rule(models: dict[str, Path], toy_model: Path) -> None:
    """R_c = R_s if is_safety or R_s < 0.15, else R_h, in probabilities, on a grid of logits up to +-40."""
    rewards = Rewards({name: str(folder) for name, folder in models.items()}, AutoTokenizer.from_pretrained(toy_model))
    grid = [-40.0, -1.7347, -1.7345, 0.0, 40.0]
    cells = [(helpful, safe, tag) for helpful in grid for safe in grid for tag in (False, True)]
    asked = [answered("", is_safety=tag) for *_, tag in cells]
    scores = np.array([[helpful, safe] for helpful, safe, _ in cells]).T
    worth = rewards.worth(scores, asked)
    for (helpful, safe, tag), ours in zip(cells, worth, strict=True):
        assert ours == (safe if tag or 1 / (1 + math.exp(-safe)) < 0.15 else helpful)
    other = Rewards({"a": str(models["helpful"]), "b": str(models["safe"])}, AutoTokenizer.from_pretrained(toy_model))
    np.testing.assert_allclose(other.worth(scores, asked), scores.sum(0))


def test_where_a_critic_begins(models: dict[str, Path]) -> None:
    both = {name: str(folder) for name, folder in models.items()}
    assert critic_start({"safe": both["safe"], "helpful": both["helpful"]}, "policy") == both["helpful"]
    assert critic_start({"right": "exact", "safe": both["safe"]}, "policy") == both["safe"]
    assert critic_start({"right": "exact", "own": "a.py:f", "other": "command: x"}, "policy") == "policy"


def test_another_reward_model_is_another_run(
    models: dict[str, Path], toy_model: Path, world: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    shutil.copytree(models["helpful"], tmp_path / "reward")
    ours = recipe_of({**world, "model": toy_model}, tmp_path / "run", rewards={"r": str(tmp_path / "reward")}, batch=4)
    ours["data"]["max_length"] = 200
    ours["optim"] |= {"global_batch": 4, "updates": 1}
    assert run(ours) == 0
    shutil.copyfile(models["safe"] / "model.safetensors", tmp_path / "reward" / "model.safetensors")
    assert run(ours) == 2
    assert "on other data (ppo.rewards.r changed since)" in capsys.readouterr().err


def test_a_changed_file_is_another_reward(
    world: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of rewards and of gold."""
    worth, gold = tmp_path / "worth.py", tmp_path / "gold.py"
    for path in (worth, gold):
        path.write_text("def reward(prompt, answer, meta):\n    return len(answer)\n")
    ours = recipe_of({**world, "worth": worth}, tmp_path / "run", batch=4, gold=f"{gold}:reward")
    ours["optim"] |= {"global_batch": 4, "updates": 1}
    assert run(ours) == 0
    for path in (gold, worth):
        path.write_text("def reward(prompt, answer, meta):\n    return -len(answer)\n")
    assert run(ours) == 2
    assert "on other data (ppo.gold, ppo.rewards.worth changed since)" in capsys.readouterr().err


def test_other_tokens_are_refused(models: dict[str, Path], world: dict[str, Path]) -> None:
    with pytest.raises(UserError, match="its tokenizer is not the policy's"):
        Rewards({"helpful": str(models["helpful"])}, AutoTokenizer.from_pretrained(world["model"]))


@pytest.mark.parametrize(
    ("ppo", "says"),
    [
        ({"rewards": {"a": "nowhere"}}, "ppo.rewards.a = 'nowhere': no such folder"),
        ({"gold": "nowhere"}, "ppo.gold = 'nowhere': no such folder"),
        ({"gae": [1.0]}, "ppo.gae = [1.0]: must be two numbers in [0, 1]: gamma and lambda"),
        ({"sampler": "localhost:8000"}, "ppo.sampler = 'localhost:8000': must begin with http:// or https://"),
        ({"answers": 2}, "ppo.answers = 2: must be 1 with ppo.advantage = critic"),
        ({"advantage": "group"}, "ppo.answers = 1: must be at least 2 with group"),
        ({"advantage": "group", "answers": 3}, "optim.global_batch = 64: must be a multiple of ppo.answers = 3"),
        ({"batch": 100}, "ppo.batch = 100: must be a multiple of optim.global_batch = 64"),
        ({"beta": 0.0, "target_kl": 1.0}, "ppo.beta = 0.0: must be greater than 0 with ppo.target_kl"),
    ],
)
def test_mistakes_are_named(
    ppo: dict[str, Any], says: str, world: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(recipe_of(world, tmp_path / "run", **ppo)) == 2
    assert says in capsys.readouterr().err


def test_what_it_cannot_do_is_refused_by_name(
    world: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import yaml

    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe_of(world, tmp_path / "run")))
    for arguments, says in (
        (["--launch", "recipes/launch/deepspeed-zero2.yaml"], "kind = 'ppo' does not go with run.sharding = 'zero2'"),
        (["--launch", "recipes/launch/deepspeed-zero3.yaml", "--plan"], "kind = 'ppo' does not go with run.sharding"),
        (["--rewind", "1"], "--rewind: what kind: ppo trains on"),
        (["run.precision=fp8"], "kind = 'ppo' does not go with run.precision = 'fp8'"),
    ):
        assert main(["finetune", str(path), *arguments]) == 2
        assert says in capsys.readouterr().err


def evaluation(update: int, reward: float, gold: float) -> dict[str, Any]:
    noise = np.random.default_rng(update).normal(0, 0.3, 64)
    each = {"each_reward": (reward + noise).tolist(), "each_gold": (gold + noise).tolist()}
    return {"update": update, "gold": gold, **each}


def test_when_a_reward_is_over_optimised() -> None:
    """Only where the one rises and the other falls, both by more than chance."""
    start, best = evaluation(0, 0.0, 0.0), evaluation(10, 1.0, 1.0)
    assert overrated_line([start]) is None and overrated_line([start, best]) is None
    assert overrated_line([start, best, evaluation(20, 2.0, 1.05)]) is None
    assert overrated_line([start, best, evaluation(20, 2.0, 0.98)]) is None  # within chance
    assert overrated_line([start, best, evaluation(20, 0.5, 0.3)]) is None  # it fell with it
    said = overrated_line([start, best, evaluation(20, 2.0, 0.2)])
    assert said is not None and "since update 10 the reward of held-out answers rose by" in said
    assert "gold fell by" in said


def test_a_run_that_only_jitters_is_hardly_ever_called_over_optimised() -> None:
    """The best evaluation so far was lucky: what comes after it seems worse, and in all of 24 there is a worst."""
    random, warned = np.random.default_rng(0), 0
    for _ in range(100):
        noise = random.normal(0, 1, (24, 64))
        lines = [
            {"update": update, "gold": each.mean(), "each_gold": each.tolist(), "each_reward": (-each).tolist()}
            for update, each in enumerate(noise)
        ]
        warned += any(overrated_line(lines[:seen]) for seen in range(2, 25))
    assert warned <= 15  # 5% is wanted, plus chance; with intervals for one pair alone it is 89


def test_a_run_says_what_it_was_worth(world: dict[str, Path], tmp_path: Path) -> None:
    """Evaluations from before the first update on, each answer with its scores, curves, answers side by side."""
    ours = recipe_of(world, tmp_path / "run", batch=32, gold=f"{world['worth']}:overrated")
    ours["optim"] |= {"global_batch": 16, "updates": 4}
    ours["data"]["validation"] = 0.3
    ours["run"]["evaluate_every"] = 2
    assert run(ours) == 0
    folder = Path(ours["run"]["output"])
    held_out = [json.loads(line) for line in (folder / "validation.jsonl").read_text().splitlines()]
    assert [line["update"] for line in held_out] == [0, 2, 4] and {"reward", "gold", "kl"} <= held_out[0].keys()
    assert held_out[0]["kl"] == pytest.approx(0.0, abs=1e-6) and held_out[2]["kl"] > 0
    lines = metrics(ours)
    assert [line["validation_loss"] for line in lines] == [None, -held_out[1]["gold"], None, -held_out[2]["gold"]]
    assert [(line["iteration"], line["minibatch"]) for line in lines] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    rollouts = [json.loads(line) for line in (folder / "rollouts.jsonl").read_text().splitlines()]
    assert len(rollouts) == 64
    for line in rollouts:
        values = [float(word[1:]) for word in line["answer"].split() if word.startswith("w")]
        assert len(line["ids"]) <= 8 and len(values) <= 8 and line["reward"] == line["scores"]["worth"]
        assert line["finished"] == (line["ids"][-1] == 2)  # the end token is among what is trained
    first = [line["reward"] for line in rollouts[:32]]
    assert lines[0]["reward"] == pytest.approx(np.mean(first)) and lines[0]["reward_deviation"] == pytest.approx(
        np.std(first)
    )
    page = (folder / "curves.html").read_text()
    for title in ("Reward", "Gold", "Distance from the start", "Spread of the reward", "Entropy", "Critic"):
        assert f"<h2>{title}</h2>" in page
    assert "after 0 updates" in page and "after 4 updates" in page and ", reward " in page
