"""The loop of PPO and its kin: iteration after iteration, each sampled anew and trained on in minibatches."""

import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from camelid.files.read import read_jsonl
from camelid.long_lived import spare_long_lived
from camelid.progress import Progress
from finetune.data.token_data import TokenData
from finetune.engine.checkpoint import CheckpointSaver, checkpoint_position
from finetune.engine.evaluate import Validation
from finetune.engine.run_updates import require_steps
from finetune.engine.stop import StopSignal
from finetune.engine.update import UpdateFacts, run_update
from finetune.ppo.collect import Collector, PpoState
from finetune.ppo.control_kl import next_beta
from finetune.ppo.evaluate import Evaluator
from finetune.ppo.learn_from import Objectives, objectives_of
from finetune.ppo.log import PpoLog
from finetune.ppo.models import PpoModels
from finetune.ppo.resume import PpoPosition, resume_iterations, state_files
from finetune.ppo.rollouts import RollOutPlan, RollOuts
from finetune.preference.evaluate import VALIDATION
from finetune.recipe import PpoRecipe, longest_sequence


@dataclass(frozen=True)
class Iteration:
    """An iteration that is being trained on.

    Attributes:
        rollouts: its answers.
        plan: which of them each update trains on.
        objectives: what is minimised.
        facts: what is known of it, for the line of its first update.
    """

    rollouts: RollOuts
    plan: RollOutPlan
    objectives: Objectives
    facts: dict[str, float]


@dataclass
class PpoRun:
    """A run, put together.

    Attributes:
        models: of the run.
        collector: makes roll-outs.
        evaluator: looks at held-out prompts; None if nothing is held out.
        recipe: of the run.
        updates: of the whole run.
    """

    models: PpoModels
    collector: Collector
    evaluator: Evaluator | None
    recipe: PpoRecipe
    updates: int

    @property
    def updates_per_iteration(self) -> int:
        return self.recipe.ppo.batch // self.recipe.optim.global_batch

    def begin(self, done: int, state: PpoState, kept: RollOuts | None) -> Iteration:
        """The iteration that an update belongs to: sampled now, or kept by the checkpoint that the run goes on from."""
        number = done // self.updates_per_iteration
        facts: dict[str, float] = {}
        if kept is None:
            rollouts, data, facts = self.collector.collect(number, done, state)
            state.beta = next_beta(state.beta, facts["kl"], self.recipe.ppo.target_kl)
        else:
            rollouts, data = kept, self._data_of(kept)
        assert data.pieces is not None
        prompts = self.recipe.optim.global_batch // self.recipe.ppo.answers
        first = number * self.updates_per_iteration
        plan = RollOutPlan(data, longest_sequence(self.recipe), self.recipe.run.seed, first, prompts)
        return Iteration(rollouts, plan, objectives_of(rollouts, data.pieces, self.recipe.ppo), facts)

    def update(self, iteration: Iteration, update: int, settle: Callable[[], None]) -> UpdateFacts:
        """One update of the policy, and of the critic; it counts as skipped if either's gradient was not finite."""
        lr, models, objectives = self.recipe.optim.lr, self.models, iteration.objectives
        facts = run_update(models.policy, iteration.plan, update, lr, objectives.policy, lambda: False, settle)
        assert facts is not None
        if models.critic is not None:
            assert objectives.critic is not None
            critic = run_update(models.critic, iteration.plan, update, lr, objectives.critic, lambda: False, settle)
            assert critic is not None
            of_critic = {"value_loss": critic.loss, "value_grad_norm": critic.grad_norm}
            known = facts.objective_facts | critic.objective_facts | of_critic
            facts = replace(facts, skipped=facts.skipped or critic.skipped, objective_facts=known)
        return facts

    def evaluate(self, done: int) -> Validation | None:
        """At the end of an iteration in or before which an evaluation was due, and at the end of the run."""
        every, size = self.recipe.run.evaluate_every, self.updates_per_iteration
        if self.evaluator is None or (done % size and done != self.updates):
            return None
        due = done // every > max(0, done - size) // every or done == self.updates
        return self.evaluator.evaluate(done) if due else None

    def _data_of(self, kept: RollOuts) -> TokenData:
        ends = kept.lengths.cumsum()
        answers = [kept.ids[end - size : end].tolist() for end, size in zip(ends, kept.lengths, strict=True)]
        return self.collector.data_of(kept.prompts, answers)


def run_iterations(run: PpoRun, quiet: bool) -> signal.Signals | None:
    """All updates that are still to do, with metrics, evaluations and checkpoints; return what ended them early.

    Raises:
        UserError: the sampler is not the policy, a reward failed, or gradients stay NaN or infinite.
    """
    recipe, policy = run.recipe, run.models.policy
    folder, alone = Path(recipe.run.output), policy.accelerator.is_main_process
    where = resume_iterations(run.models, recipe, run.updates_per_iteration)
    saver = CheckpointSaver(policy, folder / "checkpoints", recipe.run.keep_checkpoints, run.models.critic)
    log = PpoLog(policy, recipe, run.updates_per_iteration) if alone else None
    saved, saved_at, stopping, iteration = where.done, time.monotonic(), False, None
    if run.evaluator is not None and not where.done and not policy.any(alone and _evaluated(folder))[0]:
        run.evaluator.evaluate(0)
    spare_long_lived()
    with StopSignal() as stop, Progress("train", run.updates, quiet or log is None, done=where.done) as bar:
        while where.done < run.updates and not stopping:
            started = time.perf_counter()
            if iteration is None or where.done % run.updates_per_iteration == 0:
                iteration = run.begin(where.done, where.state, where.kept)
                where.kept = None
            facts = run.update(iteration, where.done, saver.wait)
            seconds = time.perf_counter() - started
            where.count(facts)
            validation = run.evaluate(where.done)
            if log:
                first = iteration.facts if (where.done - 1) % run.updates_per_iteration == 0 else {}
                bar.update(where.done, log.write(iteration.plan.data, where, facts, first, seconds, validation))
            require_steps(where.done, where.skipped, recipe.optim)
            due = recipe.run.checkpoint_due(where.done, time.monotonic() - saved_at)
            due, stopping = policy.any(due, stop.wanted)
            if due or validation is not None or stopping or where.done == run.updates:
                _save(run, saver, where, iteration, validation)
                saved, saved_at = where.done, time.monotonic()
        if where.done > saved and iteration is not None:
            _save(run, saver, where, iteration, None)
        saver.wait()
    if where.done == run.updates:
        return None
    if log:
        print(f"stopped after update {where.done} of {run.updates}; the same command resumes there", file=sys.stderr)
    return stop.signal or signal.SIGTERM


def _save(
    run: PpoRun, saver: CheckpointSaver, where: PpoPosition, iteration: Iteration, validation: Validation | None
) -> None:
    """A checkpoint; in the middle of an iteration with its roll-outs, which the models by now would not write again."""
    unfinished = where.done % run.updates_per_iteration != 0
    loss = validation and validation.loss
    position = checkpoint_position(run.models.policy, where.done, where.tokens, where.skipped, loss)
    saver.save(position, state_files(where.state, iteration.rollouts if unfinished else None))


def _evaluated(folder: Path) -> bool:
    """Whether the policy was evaluated before its first update, by a run that was killed later."""
    path = folder / VALIDATION
    return path.is_file() and any(line["update"] == 0 for _, line in read_jsonl(path))
