"""What the kinds of recipes that train on preferences choose beside what all kinds choose: one section a kind."""

from dataclasses import dataclass
from typing import Literal

from finetune.field_rules import require


@dataclass(frozen=True)
class RewardSection:
    """How comparisons make a reward.

    Attributes:
        margins: by how much a chosen answer's score must be higher, by the pair's grade from 3 (significantly better)
            to 0: `none`, `small` (1, 2/3, 1/3, 0) or `large` (3, 2, 1, 0), LLaMA 2's tables (Touvron et al. 2023, table
            27); 0 for a pair without a grade.
        safety: weight of the cross-entropy of sigmoid(score) with whether an answer is safe, where that is known.
            LLaMA 2 adds such a loss to its safety model and publishes neither formula nor weight; this one is ours.
    """

    margins: Literal["none", "small", "large"] = "none"
    safety: float = 0.0

    def __post_init__(self) -> None:
        require(self.safety >= 0, "reward.safety", self.safety, "must not be negative")


@dataclass(frozen=True)
class DpoSection:
    """Direct preference optimisation (Rafailov et al. 2023): the policy itself is the reward model.

    Attributes:
        loss: of a pair: `sigmoid` (equation 7 there), `ipo` (Azar et al. 2023, equation 17, of mean log-probabilities
            a token) or `norm` (`sigmoid` of mean log-probabilities a token; Tulu 3, Lambert et al. 2024, equation 6).
        beta: how strongly the policy is held to the reference: 0.1 in the DPO paper, 0.01 for Zephyr, 5 for Tulu 3's
            `norm`.
        label_smoothing: share of the pairs whose label is taken to be wrong (Mitchell 2023, cDPO); of `sigmoid` and
            `norm`.
        sft: weight of the chosen answer's mean negative log-probability a token, which is added (Pang et al. 2024,
            equation 2); 0 = off.
    """

    loss: Literal["sigmoid", "ipo", "norm"] = "sigmoid"
    beta: float = 0.1
    label_smoothing: float = 0.0
    sft: float = 0.0

    def __post_init__(self) -> None:
        require(self.beta > 0, "dpo.beta", self.beta, "must be greater than 0")
        require(0 <= self.label_smoothing < 0.5, "dpo.label_smoothing", self.label_smoothing, "must be in [0, 0.5)")
        if self.loss == "ipo":
            require(self.label_smoothing == 0, "dpo.label_smoothing", self.label_smoothing, "has no meaning with ipo")
        require(self.sft >= 0, "dpo.sft", self.sft, "must not be negative")


@dataclass(frozen=True)
class KtoSection:
    """Kahneman-Tversky optimisation (Ethayarajh et al. 2024): single answers that are wanted or not.

    Attributes:
        beta: how strongly the policy is held to the reference.
        wanted: weight of wanted answers.
        unwanted: weight of unwanted answers; the paper's section 4.2 keeps wanted x their number within 1 to 4/3 of
            unwanted x theirs.
    """

    beta: float = 0.1
    wanted: float = 1.0
    unwanted: float = 1.0

    def __post_init__(self) -> None:
        require(self.beta > 0, "kto.beta", self.beta, "must be greater than 0")
        for name in ("wanted", "unwanted"):
            require(getattr(self, name) > 0, f"kto.{name}", getattr(self, name), "must be greater than 0")


@dataclass(frozen=True)
class OrpoSection:
    """Odds ratio preference optimisation (Hong et al. 2024): tuned on the chosen answers and off the rejected ones.

    Attributes:
        weight: of the odds ratio's loss beside the chosen answer's mean negative log-probability (lambda, equation 6).
    """

    weight: float = 0.1

    def __post_init__(self) -> None:
        require(self.weight > 0, "orpo.weight", self.weight, "must be greater than 0")


@dataclass(frozen=True)
class SimpoSection:
    """Simple preference optimisation (Meng et al. 2024): mean log-probabilities a token with a margin, no reference.

    Attributes:
        beta: scale of the difference; 2 to 2.5 in the paper (10 for Llama-3-Instruct v0.2).
        margin: gamma, by how much the scaled difference must exceed 0; 0.3 to 1.6 in the paper.
    """

    beta: float = 2.0
    margin: float = 1.0

    def __post_init__(self) -> None:
        require(self.beta > 0, "simpo.beta", self.beta, "must be greater than 0")
        require(self.margin >= 0, "simpo.margin", self.margin, "must not be negative")
