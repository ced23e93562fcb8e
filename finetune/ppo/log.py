"""`metrics.jsonl` of a run: one line an update, that of an iteration's first with what is known of its roll-outs."""

from pathlib import Path
from typing import Any

from camelid.files.write import AppendLog
from finetune.data.token_data import TokenData
from finetune.engine.evaluate import Validation
from finetune.engine.metrics import finite_or_none, update_metrics
from finetune.engine.update import UpdateFacts
from finetune.engine.worker import Worker
from finetune.ppo.resume import PpoPosition
from finetune.recipe import PpoRecipe


class PpoLog:
    """Where the main process writes what is known of each update; trackers are told the same.

    Args:
        worker: this process, with the policy.
        recipe: of the run, whose folder holds the lines of the updates before.
        per_iteration: updates of an iteration.
    """

    def __init__(self, worker: Worker, recipe: PpoRecipe, per_iteration: int) -> None:
        self._worker, self._recipe, self._per_iteration = worker, recipe, per_iteration
        self._log = AppendLog(Path(recipe.run.output) / "metrics.jsonl")
        self._said = ""  # of the iteration

    def write(
        self,
        data: TokenData,
        where: PpoPosition,
        facts: UpdateFacts,
        iteration_facts: dict[str, float],
        seconds: float,
        validation: Validation | None,
    ) -> str:
        """Write the line of an update; return what the progress bar says of it.

        Args:
            data: the roll-outs of its iteration.
            where: the run stands, the update counted.
            facts: what `run_update` knows of it.
            iteration_facts: of the first update of an iteration; empty of others.
            seconds: that it took, sampling included.
            validation: what was found after it, if anything was looked for.
        """
        iteration, minibatch = divmod(where.done - 1, self._per_iteration)
        record: dict[str, Any] = {"update": where.done, "iteration": iteration + 1, "minibatch": minibatch + 1}
        record |= {"lr": self._recipe.optim.lr}
        loss = validation and validation.loss
        record |= update_metrics(self._worker, data, facts, seconds, loss, self._recipe.adapter.kind != "none")
        record |= {"total_tokens": where.tokens}
        record |= {name: finite_or_none(value) for name, value in iteration_facts.items()}
        record |= validation.facts if validation else {}
        self._log.append(record)
        told = {name: value for name, value in record.items() if isinstance(value, int | float)}
        self._worker.accelerator.log(told, step=where.done)
        if "reward" in record:
            self._said = f"reward {record['reward']:.3f} | kl {record['kl']:.2f} | {record['answer_tokens']:.0f} tokens"
        return f"{self._said} | loss {facts.loss:.3f}"
