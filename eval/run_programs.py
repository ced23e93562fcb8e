"""`camelid eval judge --mode execute`: the answers in a folder are run with the tests of their tasks."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from camelid.errors import UserError
from camelid.files.lock import exclusive_lock
from camelid.files.paths import suggest_path
from camelid.files.write import write_json, write_jsonl
from camelid.models.program_runner import JUDGE, open_runner
from camelid.sandbox.execute import require_sandbox
from eval.ask.answer import Answer
from eval.ask.tasks.read import read_tasks, task_questions
from eval.folder import read_all_answers, run_path
from eval.judging import canary
from eval.judging.judge import judge_all, plan_requests
from eval.judging.modes.mode import Mode
from eval.judging.task_limits import TaskLimits
from eval.judging.usable import asked_answers


def sample_count(answers: Sequence[Answer]) -> int:
    """How many samples of a task there are, at most; one more where the next one failed."""
    return max((len(answer.turns) + (answer.failure is not None) for answer in answers), default=1)


def judge_programs(args: argparse.Namespace, mode: Mode) -> int:
    """Write `judgments/execute/tests.jsonl` for all answers in the folder; status 1 if one could not be run.

    Raises:
        UserError: the sandbox does not work here, or there are no answers.
    """
    require_sandbox(args.sandbox)
    tasks, output = read_tasks(args.tasks), Path(args.output)
    said = read_all_answers(output, (), Path(args.tasks))
    questions = task_questions(tasks, sample_count(said))
    answers, notes = asked_answers(questions, said)
    for note in notes:
        print(note)
    if not answers:
        raise UserError(
            f"{args.output}/answers: none there; run `camelid eval answer --tasks` first{suggest_path(args.output)}"
        )
    folder = output / "judgments" / mode.name
    path = folder / f"{JUDGE}.jsonl"
    model = open_runner(folder / f"{JUDGE}.journal.jsonl", args.sandbox, TaskLimits(tasks, args.sandbox).more_time)
    asked = plan_requests(mode, JUDGE, questions, answers, audit=args.audit)
    with exclusive_lock(folder / f"{JUDGE}.lock"):
        with model:
            judgments = model.run(judge_all(model, asked, args.quiet))
        write_jsonl(path, (item.to_json() for item in judgments))
        write_json(
            run_path(path), {**model.to_json(), "prompt_tokens": 0, "completion_tokens": 0, "reckoned_tokens": 0}
        )
    for label in dict.fromkeys(answer.model for answer in answers):
        own = [item for item in judgments if item.models == (label,) and item.repeat == 0]
        passed = sum(item.scores == (1.0,) for item in own)
        print(f"{label}: {passed} of {len(own)} programs passed")
    weak = [item.question for item in judgments if canary.LABEL in item.models and item.scores == (1.0,)]
    if weak:
        print(f"tests that a body of `return None` passes: {', '.join(dict.fromkeys(weak))}")
    missing = [item for item in judgments if item.scores is None]
    for item in missing[:5]:
        print(f"not run: question {item.question}, sample {item.turn}, {item.models[0]}: {item.failure}")
    print(f"{path}: {len(judgments) - len(missing)} of {len(judgments)} programs run, {model.replayed} of them before")
    return 1 if missing else 0
