"""`camelid demo --preference`: from data to a model that learned from preferences, as the commands a user types.

As LLaMA-2-Chat was made (Touvron et al. 2023b, section 3.2): answers compared, a reward model of the comparisons, the
best of several answers trained on, a policy trained on the comparisons themselves, and one that learns from the reward
model's scores of its own answers. The embedded judge, which knows the reference, stands in for the people who compare;
its preferences are labelled `ai/offline`.

What is preferred must be within a toy's reach: a habit, not knowledge. So half of the data is written by a teacher who
was told to end every output with an offer of further help, half by one who was not, and a model that is tuned on both
makes that offer about half of the time. The people who compare prefer it: all references have it.
"""

from pathlib import Path

from rich.table import Table

from camelid.app.demo_stage import Stage, add_scores
from camelid.files.paths import find_packaged
from camelid.files.read import read_json, read_jsonl

ANSWERS = 4  # of which the best is trained on
TEMPERATURE = "1"  # of all answers: what PPO samples at
PAIR = {"first": TEMPERATURE, "second": "0.9"}  # of the two that are compared: varied (section 3.2.1), so not the same
LONGEST = "64"  # tokens of an answer
START = "sft"  # what is tuned on data alone
MODELS = {START: "sft", "best-of-4": "best", "dpo": "dpo", "ppo": "ppo"}  # by label, the folder of the run
PROMPTS, QUESTIONS = "600", "300"  # whose answers are compared; that all models answer in the end


def preference_stages(out: Path, records: int, updates: int) -> list[Stage]:
    """What follows the two files of the plain demo, instructions and conversations."""
    return [*_tuning(out, records, updates), *_comparing(out), *_training(out), *_judging(out)]


def _tuning(out: Path, records: int, updates: int) -> list[Stage]:
    plain, courteous, asked, prompts = (
        str(out / f"{name}.jsonl") for name in ("instructions", "courteous", "questions", "prompts")
    )
    trained_on = (plain, courteous, str(out / "conversations.jsonl"))
    told = str(find_packaged("selfinstruct/data/prompt_courteous.txt"))
    generate = ("selfinstruct", "generate", "--model", "offline", "--prompt", told)
    shape, start = str(find_packaged("recipes/models/tiny.yaml")), str(out / "random")
    settings = (
        f"model.path={start}",
        f"data.train=[{', '.join(f'{{path: {file}}}' for file in trained_on)}]",
        f"optim.updates={updates}",
        f"run.output={out / MODELS[START]}",
    )
    return [
        Stage(
            "Write instruction data, each output with an offer of further help at its end",
            (*generate, "--seed", "1", "--count", str(records), "--output", courteous),
        ),
        Stage(
            "Write the questions that all models will be asked: none like what they learn from",
            (*generate, "--seed", "2", "--count", QUESTIONS, "--decontaminate", *trained_on, "--output", asked),
        ),
        Stage(
            "Write the prompts whose answers are compared",
            (*generate, "--seed", "3", "--count", PROMPTS, "--decontaminate", asked, "--output", prompts),
        ),
        Stage(
            "Make a tokenizer and a small random LLaMA",
            ("weights", "new", shape, start, "--data", *trained_on, "--template", "vicuna_v1.1"),
        ),
        Stage("Fine-tune it on what both teachers wrote", ("finetune", *_recipe("smoke"), *settings)),
    ]


def _comparing(out: Path) -> list[Stage]:
    prompts, tuned = str(out / "prompts.jsonl"), str(out / MODELS[START] / "model")
    on = ("--questions", prompts, "--output", str(out / "pairs"))
    answer = ("eval", "answer", *on, "--model", tuned, "--max-tokens", LONGEST)
    found = ("--mode", "pairwise", "--output", str(out / "preferences.jsonl"))
    return [
        *(
            Stage(
                f"Answer every prompt with the tuned model: the {name} time",
                (*answer, "--temperature", temperature, "--label", name),
            )
            for name, temperature in PAIR.items()
        ),
        Stage(
            "Compare the answers, in both orders",
            ("eval", "judge", *on, "--mode", "pairwise", "--model", "offline", "--audit", "0"),
        ),
        Stage(
            "Keep the comparisons that came out the same in both orders",
            ("eval", "preferences", str(out / "pairs"), "--questions", prompts, *found),
        ),
    ]


def _training(out: Path) -> list[Stage]:
    prompts, pairs = str(out / "prompts.jsonl"), str(out / "preferences.jsonl")
    tuned, reward = str(out / MODELS[START] / "model"), str(out / "reward" / "model")
    candidates, best = str(out / "candidates.jsonl"), str(out / "best.jsonl")
    of_pairs = (f"model.path={tuned}", f"data.train=[{{path: {pairs}}}]")
    sampled = ("--answers", str(ANSWERS), "--temperatures", TEMPERATURE, "--max-tokens", LONGEST)
    scored = ("finetune", "score")
    by = ("--reward", f"helpful={reward}")
    return [
        Stage(
            "Train a reward model on the comparisons",
            ("finetune", *_recipe("smoke-reward"), *of_pairs, f"run.output={out / 'reward'}"),
        ),
        Stage(
            "Say how often it agrees with them",
            (*scored, pairs, *by, "--output", str(out / "scored.jsonl"), "--report", str(out / "reward.html")),
        ),
        Stage(
            f"Sample {ANSWERS} answers to every prompt",
            ("selfinstruct", "sample", prompts, "--model", tuned, *sampled, "--output", candidates),
        ),
        Stage("Score them", (*scored, candidates, *by)),
        Stage("Choose the best of each", ("selfinstruct", "select", candidates, "--by", "helpful", "--output", best)),
        Stage(
            "Train on the best answers, as in a round of rejection sampling",
            (
                "finetune",
                *_recipe("smoke"),
                f"model.path={tuned}",
                f"data.train=[{{path: {best}}}]",
                "optim.updates=40",
                "optim.lr=3.0e-4",
                f"run.output={out / 'best'}",
            ),
        ),
        Stage(
            "Train a policy on the comparisons themselves: DPO",
            ("finetune", *_recipe("smoke-dpo"), *of_pairs, f"run.output={out / 'dpo'}"),
        ),
        Stage(
            "Train a policy on the reward model's scores of its own answers: 20 iterations of PPO",
            (
                "finetune",
                *_recipe("smoke-ppo"),
                f"model.path={tuned}",
                f"data.train=[{{path: {prompts}}}]",
                f"ppo.rewards={{helpful: {reward}}}",
                f"run.output={out / 'ppo'}",
            ),
        ),
    ]


def _judging(out: Path) -> list[Stage]:
    on = ("--questions", str(out / "questions.jsonl"), "--output", str(out / "preferred"))
    answer = ("eval", "answer", *on, "--temperature", TEMPERATURE, "--max-tokens", LONGEST)
    return [
        *(
            Stage(
                f"Answer held-out questions: {label}", (*answer, "--model", str(out / run / "model"), "--label", label)
            )
            for label, run in MODELS.items()
        ),
        Stage("Judge all against the references", ("eval", "judge", *on, "--model", "offline")),
        Stage("Write the report", ("eval", "report", *on, "--own", "ppo")),
    ]


def _recipe(name: str) -> tuple[str, ...]:
    return str(find_packaged(f"recipes/{name}.yaml")), "--launch", str(find_packaged("recipes/launch/cpu.yaml"))


def preference_table(out: Path) -> Table:
    """The figures of all stages, read from what they left behind."""
    table = Table(show_header=False, box=None, padding=(0, 2))
    held_out = [record for _, record in read_jsonl(out / "reward" / "validation.jsonl")][-1]
    table.add_row("reward model", f"agrees with {held_out['accuracy']:.1%} of the comparisons held out")
    table.add_row("", str((out / "reward.html").resolve()))
    for label, run in list(MODELS.items())[1:]:
        training = read_json(out / run / "summary.json")
        table.add_row(label, f"{training['updates']} updates, {training['tokens']:,} tokens")
    seen = [line for _, line in read_jsonl(out / "ppo" / "metrics.jsonl") if "kl" in line]
    first, last = seen[0], seen[-1]
    rewarded = f"reward {first['reward']:.2f} to {last['reward']:.2f}, {last['kl']:.2f} nats an answer from {START}"
    table.add_row("", rewarded)
    table.add_row("", str((out / "ppo" / "curves.html").resolve()))
    for met in read_json(out / "preferred" / "results.json")["boards"][0]["meetings"]:
        if met["second"] == START:
            rate = met["win_rate"]
            interval = f"95% interval {rate['low']:.1f} to {rate['high']:.1f}"
            table.add_row(f"{met['first']} against {START}", f"wins {rate['mean']:.1f}%, a tie half ({interval})")
    add_scores(table, out / "preferred")
    return table
