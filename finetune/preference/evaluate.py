"""What is known of held-out preferences at an evaluation, and what a policy says by now."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from camelid.files.write import AppendLog
from finetune.data.batches import Plan
from finetune.engine.evaluate import Validation, sample_answers, validation_loss
from finetune.engine.worker import Worker
from finetune.objectives.policy import Policy
from finetune.objectives.reward import Reward

VALIDATION = "validation.jsonl"  # in the run folder: accuracy by grade, margins, ... of what is held out
SAMPLES = "samples.jsonl"  # beside it: what a policy says
PROMPTS = 8  # held-out prompts that a policy answers at each evaluation


def evaluate(
    worker: Worker,
    plan: Plan,
    make: Callable[[], Policy | Reward],
    tokenizer: Any,
    end_ids: list[int] | None,
    folder: Path,
    done: int,
) -> Validation:
    """The loss of the held-out preferences, and how long the answers are that a policy gives by now.

    The rest of what is known of them goes to `validation.jsonl`, the answers to `samples.jsonl`.

    Args:
        worker: this process; every one calls it.
        plan: holds the documents.
        make: an objective that has seen nothing yet.
        tokenizer: of the model.
        end_ids: tokens that end an answer; None for a reward model.
        folder: of the run.
        done: updates done.
    """
    objective = make()
    loss = validation_loss(worker, plan, list(plan.data.validation[:, None]), objective)
    facts = objective.facts(worker.sum)
    samples = [] if end_ids is None else sample_answers(worker, plan.data, tokenizer, end_ids, PROMPTS)
    lengths = {"sampled_tokens": float(np.mean([sample["tokens"] for sample in samples]))} if samples else {}
    if worker.accelerator.is_main_process:
        with AppendLog(folder / VALIDATION) as log:
            log.append({"update": done, "loss": loss, **facts, **lengths})
        if samples:
            with AppendLog(folder / SAMPLES) as log:
                log.append_all({"update": done, **sample} for sample in samples)
    return Validation(loss, lengths)
