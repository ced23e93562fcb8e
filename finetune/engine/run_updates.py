"""The loop that all kinds of training share: update after update, with metrics, evaluations and checkpoints."""

import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from camelid.errors import UserError
from camelid.long_lived import spare_long_lived
from camelid.progress import Progress
from finetune.data.batches import Plan
from finetune.engine.checkpoint import CheckpointSaver, checkpoint_position
from finetune.engine.evaluate import Validation
from finetune.engine.metrics_log import MetricsLog
from finetune.engine.resume import resume
from finetune.engine.rewind import left_out
from finetune.engine.schedule import learning_rate
from finetune.engine.stop import StopSignal
from finetune.engine.update import run_update
from finetune.engine.worker import Worker
from finetune.objectives.objective import Objective
from finetune.recipe import PreferenceRecipe, SftRecipe, StepSection, least_warmup


def run_updates(
    worker: Worker,
    plan: Plan,
    recipe: SftRecipe | PreferenceRecipe,
    objective: Objective,
    validate: Callable[[int], Validation] | None,
    quiet: bool,
) -> signal.Signals | None:
    """All updates that are still to do, with metrics, evaluations and checkpoints.

    Args:
        worker: this process.
        plan: what each update trains on.
        recipe: pace, schedule and folder of the run.
        objective: what is minimised.
        validate: called with the number of updates done, returns what it found; None if nothing is held out.
        quiet: no progress display.

    Returns:
        A signal that ended them early.
    """
    run, optim, folder = recipe.run, recipe.optim, Path(recipe.run.output)
    alone = worker.accelerator.num_processes == 1
    done, tokens, skipped = resume(worker, folder)
    out = left_out(folder)
    to_do = [update for update in range(done, plan.updates) if not out(update)]
    saver = CheckpointSaver(worker, folder / "checkpoints", run.keep_checkpoints)
    saved, saved_at = done, time.monotonic()
    log = MetricsLog(worker, plan, recipe) if worker.accelerator.is_main_process else None
    spare_long_lived()
    with StopSignal() as stop, Progress("train", plan.updates, quiet or log is None, done=done) as bar:
        for update in to_do:
            started = time.perf_counter()
            lr = learning_rate(
                update,
                plan.updates,
                optim.lr,
                optim.warmup_ratio,
                optim.schedule,
                optim.final_lr,
                least_warmup(optim),
            )
            # Several processes agree on a stop after the update.
            facts = run_update(worker, plan, update, lr, objective, lambda: alone and stop.wanted, saver.wait)
            if facts is None:  # a signal came in the middle of it: the weights are those after `done` updates
                break
            seconds = time.perf_counter() - started
            done, tokens = update + 1, tokens + facts.tokens
            skipped = skipped + 1 if facts.skipped else 0
            last, validation = update == to_do[-1], None
            if validate and (done % run.evaluate_every == 0 or last):
                validation = validate(done)
            # Metrics are written before the checkpoint of the same update. A kill between the two leaves lines that no
            # checkpoint knows of, which `resume` cuts off; the other way round it would lose them.
            if log:
                bar.update(done, log.write(update, lr, facts, seconds, validation, tokens))
            require_steps(done, skipped, optim)
            # Clocks differ, and a signal may reach one process only. Saving is collective, so all must decide alike:
            # what any process wants, every process does. `worker.any` is called in every update, wanted or not, for it
            # is collective itself.
            due, stopping = worker.any(run.checkpoint_due(done, time.monotonic() - saved_at), stop.wanted)
            due = due or validation is not None
            # An update that was validated is saved: it may be the best one. So is the last: the run may be continued.
            if due or stopping or last:
                saver.save(checkpoint_position(worker, done, tokens, skipped, validation and validation.loss))
                saved, saved_at = done, time.monotonic()
            if stopping:
                break
        finished = not to_do or done == to_do[-1] + 1
        # Here after a dropped update, in a single process: what was done since the last checkpoint is not lost.
        if not finished and done > saved:
            saver.save(checkpoint_position(worker, done, tokens, skipped, None))
        saver.wait()
    if finished:
        return None
    if log:
        print(f"stopped after update {done} of {plan.updates}; the same command resumes there", file=sys.stderr)
    return stop.signal or signal.SIGTERM  # another process received it


def require_steps(done: int, skipped: int, optim: StepSection) -> None:
    """Refuse to go on where no step can be made.

    Raises:
        UserError: more updates in a row were skipped than `max_skipped`.
    """
    if skipped > optim.max_skipped:
        raise UserError(
            f"update {done}: {skipped} updates in a row had a NaN or infinite gradient (optim.max_skipped = "
            f"{optim.max_skipped}); lower optim.lr or look at the data"
        )
