"""`camelid demo --preference`: from a tuned model to one that learned from preferences, as the commands a user types.

As LLaMA-2-Chat was made (Touvron et al. 2023b, section 3.2): answers compared, a reward model of the comparisons, the
best of several answers trained on, a policy trained on the comparisons themselves, and one that learns from the reward
model's scores of its own answers. The embedded judge, which knows the reference, stands in for the people who compare;
its preferences are labelled `ai/offline`.
"""

from pathlib import Path

from rich.table import Table

from camelid.app.demo_stage import Stage, add_scores
from camelid.files.paths import find_packaged
from camelid.files.read import read_json, read_jsonl

ANSWERS = 8  # of which the best is trained on
TEMPERATURE = "1.2"  # of sampling; for 10 to 100 answers LLaMA 2 found 1.2 to 1.3 best (section 3.2.3)
PAIR = {"first": "1.0", "second": "1.3"}  # temperatures of the two answers that are compared: varied (section 3.2.1)
MODELS = {"tuned": "tuned", "best-of-8": "best", "dpo": "dpo", "ppo": "ppo"}  # by label, the folder of the run


def preference_stages(out: Path) -> list[Stage]:
    """What follows supervised tuning, in order."""
    return [*_comparing(out), *_training(out), *_judging(out)]


def _comparing(out: Path) -> list[Stage]:
    tasks, tuned = str(out / "instructions.jsonl"), str(out / "tuned" / "model")
    on = ("--questions", tasks, "--output", str(out / "pairs"))
    sampled = ("eval", "answer", *on, "--model", tuned, "--max-tokens", "128")
    found = ("--mode", "pairwise", "--output", str(out / "preferences.jsonl"))
    return [
        *(
            Stage(
                f"Answer every task with the tuned model: the {name} time",
                (*sampled, "--temperature", temperature, "--label", name),
            )
            for name, temperature in PAIR.items()
        ),
        Stage(
            "Compare the answers, in both orders",
            ("eval", "judge", *on, "--mode", "pairwise", "--model", "offline", "--audit", "0"),
        ),
        Stage(
            "Keep the comparisons that came out the same in both orders",
            ("eval", "preferences", str(out / "pairs"), "--questions", tasks, *found),
        ),
    ]


def _training(out: Path) -> list[Stage]:
    tasks, tuned, pairs = str(out / "instructions.jsonl"), str(out / "tuned" / "model"), str(out / "preferences.jsonl")
    candidates, best = str(out / "candidates.jsonl"), str(out / "best.jsonl")
    reward, policy, ppo, launch = (
        str(find_packaged(f"recipes/{name}.yaml")) for name in ("smoke-reward", "smoke-dpo", "smoke-ppo", "launch/cpu")
    )
    again = (str(find_packaged("recipes/smoke.yaml")), "--launch", launch, f"data.train=[{{path: {best}}}]")
    of_pairs = (f"model.path={tuned}", f"data.train=[{{path: {pairs}}}]")
    sampled = ("--answers", str(ANSWERS), "--temperatures", TEMPERATURE, "--max-tokens", "128")
    scored = ("finetune", "score")
    by = ("--reward", f"helpful={out / 'reward' / 'model'}")
    return [
        Stage(
            "Train a reward model on the comparisons",
            ("finetune", reward, "--launch", launch, *of_pairs, f"run.output={out / 'reward'}"),
        ),
        Stage(
            "Say how often it agrees with them",
            (*scored, pairs, *by, "--output", str(out / "scored.jsonl"), "--report", str(out / "reward.html")),
        ),
        Stage(
            f"Sample {ANSWERS} answers to every task",
            ("selfinstruct", "sample", tasks, "--model", tuned, *sampled, "--output", candidates),
        ),
        Stage("Score them", (*scored, candidates, *by)),
        Stage("Choose the best of each", ("selfinstruct", "select", candidates, "--by", "helpful", "--output", best)),
        Stage(
            "Train on the best answers, as in a round of rejection sampling",
            ("finetune", *again, f"model.path={tuned}", "optim.updates=60", f"run.output={out / 'best'}"),
        ),
        Stage(
            "Train a policy on the comparisons themselves: DPO",
            ("finetune", policy, "--launch", launch, *of_pairs, f"run.output={out / 'dpo'}"),
        ),
        Stage(
            "Train a policy on the reward model's scores of its own answers: 20 iterations of PPO",
            (
                "finetune",
                ppo,
                "--launch",
                launch,
                f"model.path={tuned}",
                f"data.train=[{{path: {tasks}}}]",
                f"ppo.rewards={{helpful: {out / 'reward' / 'model'}}}",
                f"run.output={out / 'ppo'}",
            ),
        ),
    ]


def _judging(out: Path) -> list[Stage]:
    on = ("--questions", str(find_packaged("eval/data/demo_questions.jsonl")), "--output", str(out / "preferred"))
    answer = ("eval", "answer", *on, "--temperature", "0", "--max-tokens", "128")
    return [
        *(
            Stage(
                f"Answer held-out questions: {label}", (*answer, "--model", str(out / run / "model"), "--label", label)
            )
            for label, run in MODELS.items()
        ),
        Stage("Judge all against the references", ("eval", "judge", *on, "--model", "offline")),
        Stage("Write the report", ("eval", "report", *on)),
    ]


def preference_table(out: Path) -> Table:
    """The figures of all stages, read from what they left behind."""
    table = Table(show_header=False, box=None, padding=(0, 2))
    held_out = [record for _, record in read_jsonl(out / "reward" / "validation.jsonl")][-1]
    table.add_row("reward model", f"agrees with {held_out['accuracy']:.1%} of the comparisons held out")
    table.add_row("", str((out / "reward.html").resolve()))
    for label, run in list(MODELS.items())[1:]:
        training = read_json(out / run / "summary.json")
        table.add_row(label, f"{training['updates']} updates, {training['tokens']:,} tokens")
    add_scores(table, out / "preferred")
    return table
