"""What an answer is worth by its scores: one reward, or LLaMA-2's two (Touvron et al. 2023, section 3.2.3)."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from conversations.reward_rule import HELPFUL, SAFE, SAFE_BELOW, llama2_reward


def best_of_kl(answers: float) -> float:
    """Nats by which the best of so many answers diverges from the model that they are from, at most: log N - (N-1)/N
    (Stiennon et al. 2020, appendix G.3; a bound: Beirami et al. 2024)."""
    return math.log(answers) - (answers - 1) / answers


@dataclass
class Whitening:
    """Mean and deviation of a stream of rewards, by which they are whitened (section 3.2.3)."""

    count: int = 0
    mean: float = 0.0
    _squares: float = 0.0

    def add(self, reward: float) -> None:
        """Welford's recurrence (1962)."""
        self.count += 1
        apart = reward - self.mean
        self.mean += apart / self.count
        self._squares += apart * (reward - self.mean)

    def add_all(self, rewards: Iterable[float]) -> "Whitening":
        for reward in rewards:
            self.add(reward)
        return self

    @property
    def deviation(self) -> float:
        """Of the rewards themselves, not an estimate for more of them."""
        return math.sqrt(self._squares / self.count) if self.count else 0.0

    def whiten(self, reward: float) -> float:
        """The reward with mean 0 and deviation 1 over all that were added; 0 where they are all alike."""
        return (reward - self.mean) / self.deviation if self.deviation else 0.0


@dataclass(frozen=True)
class Rule:
    """How answers are chosen.

    Attributes:
        name: what `--by` calls it.
        help: what `--help` says of it.
        needs: the scores it asks for.
        reward: from an answer's scores and whether its prompt is a safety prompt to its reward, a logit.
        told_apart: whether an answer that was written behind a preprompt must beat the plain ones to be chosen.
    """

    name: str
    help: str
    needs: tuple[str, ...]
    reward: Callable[[Mapping[str, float], bool], float]
    told_apart: bool = False


RULES = {
    rule.name: rule
    for rule in (
        Rule(
            "llama2",
            f"helpful, but safe of a safety prompt (meta.is_safety) and where sigma(safe) < {SAFE_BELOW}",
            (HELPFUL, SAFE),
            lambda scores, is_safety: llama2_reward(scores[HELPFUL], scores[SAFE], is_safety),
        ),
        Rule(
            "distill",
            "safe, of the answers behind a preprompt, where the best of them beats the best plain one",
            (SAFE,),
            lambda scores, is_safety: scores[SAFE],
            told_apart=True,
        ),
        Rule("first", "no score: the first whole answer", (), lambda scores, is_safety: 0.0),
    )
}


def find_rule(name: str) -> Rule:
    """The rule of that name; any other name is that of one score, of which the highest wins."""
    return RULES.get(name) or Rule(name, f"the highest {name}", (name,), lambda scores, is_safety: scores[name])
