"""What is missing in a function of HumanEval (Bavarian et al. 2022; github.com/openai/human-eval-infilling)."""

from camelid.files.read import Record
from eval.ask.code_task import CodeTask
from eval.ask.tasks.format import TaskFormat, function_test, text_field

_ASK = (
    "Something is missing in this Python code, where it says <MISSING>. Answer with the missing text alone, with its "
    "indentation, in one code block.\n\n```python\n{before}<MISSING>{after}\n```"
)


def _read(record: Record, place: str) -> CodeTask:
    before, after = text_field(record, "prompt", place), text_field(record, "suffix", place)
    test, name = function_test(record, place)
    return CodeTask(
        id=str(record["task_id"]),
        ask=_ASK.format(before=before, after=after),
        before=before,
        after=after,
        test=test,
        entry_point=name,
        reference=text_field(record, "canonical_solution", place, ""),
        infill=True,
    )


INFILLING = TaskFormat("infilling", frozenset({"task_id", "prompt", "suffix", "entry_point", "test"}), _read)
