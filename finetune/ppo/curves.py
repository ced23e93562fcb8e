"""The page of a run's curves: what it was rewarded for, how far it went for that, and whether it was worth it."""

from pathlib import Path

from camelid.files.read import read_jsonl
from finetune.ppo.overrated import overrated_line
from finetune.preference.curves import Chart, write_curves
from finetune.preference.evaluate import VALIDATION

PPO_CHARTS = (
    Chart(
        "Reward",
        "reward",
        ("reward",),
        "Raw, of the answers that were trained on and of those to held-out prompts.",
    ),
    Chart(
        "Gold",
        "reward",
        ("gold",),
        "What is wanted, where it is known: only looked at. Where it falls while the reward rises, the reward is "
        "over-optimised.",
        ("held out",),
    ),
    Chart("Distance from the start", "nats an answer", ("kl",), "What the reward is paid with."),
    Chart(
        "Spread of the reward",
        "standard deviation",
        ("reward_deviation",),
        "Before whitening, which hides a reward that no longer tells answers apart.",
        ("training",),
    ),
    Chart("Cost of a nat", "reward", ("beta",), "Where a target of the distance is set, it follows it.", ("training",)),
    Chart("Length of answers", "tokens", ("answer_tokens", "sampled_tokens"), "Trained on, and to held-out prompts."),
    Chart("Entropy", "nats a token", ("entropy",), "At 0 the policy says one thing only.", ("training",)),
    Chart("Clipped tokens", "share", ("clip_share",), "Whose probability had moved too far to count.", ("training",)),
    Chart("Critic", "square of a reward", ("value_loss",), "How far its expectations are off.", ("training",)),
)


def write_ppo_curves(run: Path) -> None:
    """Write the page of a run's folder, with a warning if the reward is over-optimised at its end."""
    path = run / VALIDATION
    evaluations = [line for _, line in read_jsonl(path) if "each_gold" in line] if path.is_file() else []
    said = overrated_line(evaluations)
    write_curves(run, PPO_CHARTS, [] if said is None else [said])
