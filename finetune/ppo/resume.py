"""Where a run goes on: iteration, minibatch, both models and their optimizers, and what goes from one to the next."""

import json
from dataclasses import dataclass
from pathlib import Path

from camelid.files.read import read_json
from camelid.files.tail import cut_after
from finetune.engine.checkpoint import latest_checkpoint
from finetune.engine.resume import resume
from finetune.engine.update import UpdateFacts
from finetune.ppo.check_sampler import SamplerTally
from finetune.ppo.collect import LOG, PpoState
from finetune.ppo.models import PpoModels
from finetune.ppo.rollouts import RollOuts
from finetune.recipe import PpoRecipe

STATE, KEPT = "ppo.json", "rollouts.npz"  # in a checkpoint, the latter in the middle of an iteration alone


@dataclass
class PpoPosition:
    """Where a run stands.

    Attributes:
        done: updates.
        tokens: trained on so far.
        skipped: updates in a row just before.
        state: for the next iteration.
        kept: the roll-outs of the iteration that the run stands in the middle of; None at the beginning of one.
    """

    done: int
    tokens: int
    skipped: int
    state: PpoState
    kept: RollOuts | None = None

    def count(self, facts: UpdateFacts) -> None:
        """One update more."""
        self.done += 1
        self.tokens += facts.tokens
        self.skipped = self.skipped + 1 if facts.skipped else 0


def resume_iterations(models: PpoModels, recipe: PpoRecipe, per_iteration: int) -> PpoPosition:
    """Load the newest checkpoint into the models, if there is one; every process must call it."""
    folder = Path(recipe.run.output)
    done, tokens, skipped = resume(models.policy, folder, models.critic)
    found = latest_checkpoint(folder / "checkpoints")
    if models.policy.accelerator.is_main_process and (folder / LOG).is_file():
        # An iteration that stands at its beginning is sampled again.
        cut_after(folder / LOG, lambda record: bool(record["update"] < done))
    models.policy.patience.wait()
    if found is None:
        return PpoPosition(done, tokens, skipped, PpoState(recipe.ppo.beta))
    state = read_json(found / STATE)
    kept = RollOuts.from_bytes((found / KEPT).read_bytes()) if done % per_iteration else None
    return PpoPosition(done, tokens, skipped, PpoState(state["beta"], SamplerTally(**state["tally"])), kept)


def state_files(state: PpoState, kept: RollOuts | None) -> dict[str, bytes]:
    """What a checkpoint holds besides the models, by file name."""
    files = {STATE: json.dumps({"beta": state.beta, "tally": state.tally.to_json()}).encode()}
    return files if kept is None else {**files, KEPT: kept.to_bytes()}
