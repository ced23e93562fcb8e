"""The objective of each kind of recipe that trains on preferences."""

import numpy as np
import numpy.typing as npt

from finetune.data.preference_data import PreferenceData
from finetune.objectives.dpo import Dpo
from finetune.objectives.kto import Kto
from finetune.objectives.orpo import Orpo
from finetune.objectives.policy import Policy, PolicyLoss
from finetune.objectives.reward import Reward
from finetune.objectives.simpo import Simpo
from finetune.recipe import PolicyRecipe, PreferenceRecipe


def policy_loss(recipe: PolicyRecipe) -> PolicyLoss:
    """The loss of log-probabilities that a recipe asks for."""
    match recipe.kind:
        case "dpo":
            return Dpo(recipe.dpo)
        case "kto":
            return Kto(recipe.kto)
        case "orpo":
            return Orpo(recipe.orpo)
        case "simpo":
            return Simpo(recipe.simpo)


def objective_of(
    recipe: PreferenceRecipe, data: PreferenceData, reference: npt.NDArray[np.float64] | None
) -> Policy | Reward:
    """The objective of a run.

    Args:
        recipe: of the run.
        data: what it trains on.
        reference: log-probabilities of all answers, for a loss that wants them.
    """
    if recipe.kind == "reward":
        return Reward(recipe.reward.margins, recipe.reward.safety, data.labels, data.grades)
    return Policy(policy_loss(recipe), data.labels, data.grades, reference)
