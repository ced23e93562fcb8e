"""The models of a run: the policy, the model that it starts from, and the critic."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from accelerate import Accelerator

from finetune.engine.make_worker import make_frozen_worker, make_worker
from finetune.engine.worker import Worker
from finetune.layout import Sharding
from finetune.parallel.patience import Patience
from finetune.ppo.rewards import critic_start
from finetune.preference.reference import adapter_off
from finetune.recipe import (
    AdapterSection,
    PpoRecipe,
    PreferenceDataSection,
    PreferenceOptimSection,
    RewardRecipe,
    RunSection,
    longest_sequence,
)


@dataclass(frozen=True)
class PpoModels:
    """As one process holds them.

    Attributes:
        policy: what learns.
        critic: what expects rewards; None without one.
        start: the model that the policy starts from; None if that is the policy without its adapter.
        adapter: of the policy.
    """

    policy: Worker
    critic: Worker | None
    start: Worker | None
    adapter: AdapterSection

    @contextmanager
    def reference(self) -> Iterator[Worker]:
        """What asks the model that training starts from."""
        if self.start is not None:
            yield self.start
        else:
            with adapter_off(self.policy, self.adapter):
                yield self.policy


def make_models(accelerator: Accelerator, sharding: Sharding, recipe: PpoRecipe, patience: Patience) -> PpoModels:
    """Load all models that a recipe wants, spread as it says."""
    policy = make_worker(accelerator, sharding, recipe, patience)
    start = critic = None
    if recipe.adapter.kind == "none":
        start = make_frozen_worker(accelerator, sharding, recipe, patience)
    if recipe.ppo.advantage == "critic":
        critic = make_worker(accelerator, sharding, critic_recipe(recipe), patience)
    return PpoModels(policy, critic, start, recipe.adapter)


def critic_recipe(recipe: PpoRecipe) -> RewardRecipe:
    """What the critic is loaded and stepped by: a reward model, with the policy's optimizer and layout."""
    optim, run, data = recipe.optim, recipe.run, recipe.data
    return RewardRecipe(
        model=replace(recipe.model, path=critic_start(recipe.ppo.rewards, recipe.model.path)),
        data=PreferenceDataSection(data.train, data.template, longest_sequence(recipe)),
        optim=PreferenceOptimSection(**vars(optim)),
        run=RunSection(**vars(run)),
    )
