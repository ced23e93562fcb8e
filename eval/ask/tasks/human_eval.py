"""HumanEval (Chen et al. 2021; github.com/openai/human-eval): a function's head and docstring to be completed.

HumanEval+ as it is published for `datasets` (evalplus/humanevalplus) has the same fields and longer tests.
"""

from camelid.files.read import Record
from eval.ask.code_task import CodeTask
from eval.ask.tasks.format import COMPLETE, TaskFormat, function_test, text_field


def _read(record: Record, place: str) -> CodeTask:
    prompt, (test, name) = text_field(record, "prompt", place), function_test(record, place)
    return CodeTask(
        id=str(record["task_id"]),
        ask=COMPLETE.format(code=prompt.strip()),
        before=prompt,
        after="",
        test=test,
        entry_point=name,
        reference=text_field(record, "canonical_solution", place, ""),
    )


HUMAN_EVAL = TaskFormat("HumanEval", frozenset({"task_id", "prompt", "entry_point", "test"}), _read)
