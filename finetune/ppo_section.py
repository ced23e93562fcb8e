"""What a recipe of `kind: ppo` chooses beside what all kinds choose."""

from dataclasses import dataclass
from typing import Literal

from finetune.field_rules import require

Advantage = Literal["critic", "leave-one-out", "group"]


@dataclass(frozen=True)
class PpoSection:
    """Rewards, and how a policy learns from them. Answers are sampled at temperature 1 from all of the vocabulary.

    Attributes:
        rewards: what an answer is worth, by name: the folder of a reward model; `exact`, `json-schema` or `unit-tests`
            (of the prompt's `meta.answer`, `meta.schema`, `meta.tests`); `FILE.py:FUNCTION`; or `command: PROGRAM ...`.
            Of `helpful` and `safe` together LLaMA 2's rule (Touvron et al. 2023, section 3.2.3), of any others the sum.
        gold: such a reward that is only looked at, on held-out prompts: whether what is learned is what is wanted.
        whiten: give rewards mean 0 and deviation 1 over the answers of an iteration, as LLaMA 2 does, before `beta`.
        advantage: what a reward is measured against: `critic` (PPO: a value model that begins as the reward model),
            `leave-one-out` (RLOO, Ahmadian et al. 2024: the other answers to the prompt), or `group` (GRPO, Shao et al.
            2024: mean and deviation of all answers to the prompt).
        answers: to each prompt; 1 with `critic`, at least 2 without.
        batch: answers of an iteration, which are then trained on `optim.global_batch` at a time, once (LLaMA 2: 512).
        beta: how strongly the policy is held to the model it starts from, a reward's worth of a nat (LLaMA 2: 0.01 for
            7B and 13B, 0.005 for 34B and 70B).
        target_kl: nats an answer that the policy may be away from its start; `beta` follows it (Ziegler et al. 2019,
            section 2.2); None leaves `beta` alone.
        clip: how far a step may move a token's probability, and a value, from what they were when it was sampled.
        gae: gamma, the worth of what comes a token later, and lambda of the generalised advantage estimate (Schulman
            et al. 2016), with `critic`.
        max_new_tokens: most tokens of an answer.
        unfinished_penalty: taken off the reward of an answer that did not come to its end.
        sampler: address of a vLLM server (`http://localhost:8000/v1`) that writes the answers and reads the policy's
            weights anew for each iteration; None: the run's own processes do.
    """

    rewards: dict[str, str]
    gold: str | None = None
    whiten: bool = False
    advantage: Advantage = "critic"
    answers: int = 1
    batch: int = 512
    beta: float = 0.01
    target_kl: float | None = None
    clip: float = 0.2
    gae: tuple[float, ...] = (1.0, 0.95)
    max_new_tokens: int = 256
    unfinished_penalty: float = 0.0
    sampler: str | None = None

    def __post_init__(self) -> None:
        require(len(self.rewards) > 0, "ppo.rewards", self.rewards, "must name at least one reward")
        for name, reward in self.rewards.items():
            require(isinstance(reward, str) and bool(reward), f"ppo.rewards.{name}", reward, "must be a text")
        alone = self.advantage == "critic"
        wanted = "must be 1 with ppo.advantage = critic" if alone else f"must be at least 2 with {self.advantage}"
        require(self.answers == 1 if alone else self.answers >= 2, "ppo.answers", self.answers, wanted)
        require(self.batch >= 1, "ppo.batch", self.batch, "must be at least 1 answer")
        require(self.beta >= 0, "ppo.beta", self.beta, "must not be negative")
        if self.target_kl is not None:
            require(self.target_kl > 0, "ppo.target_kl", self.target_kl, "must be greater than 0")
            require(self.beta > 0, "ppo.beta", self.beta, "must be greater than 0 with ppo.target_kl, which scales it")
        require(0 < self.clip < 1, "ppo.clip", self.clip, "must be in (0, 1)")
        pair = len(self.gae) == 2 and all(0 <= number <= 1 for number in self.gae)
        require(pair, "ppo.gae", list(self.gae), "must be two numbers in [0, 1]: gamma and lambda")
        require(self.max_new_tokens >= 1, "ppo.max_new_tokens", self.max_new_tokens, "must be at least 1")
        require(self.unfinished_penalty >= 0, "ppo.unfinished_penalty", self.unfinished_penalty, "must not be negative")
        address = self.sampler is None or self.sampler.startswith(("http://", "https://"))
        require(
            address, "ppo.sampler", self.sampler, "must begin with http:// or https://, as http://localhost:8000/v1"
        )
