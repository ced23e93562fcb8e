"""HumanEval+ as its own releases have it (Liu et al. 2023; github.com/evalplus/evalplus): inputs instead of tests.

What is right is what the canonical solution gives, within `atol` for floating-point numbers and exactly otherwise.
"""

import json

from camelid.errors import UserError
from camelid.files.read import Record
from eval.ask.code_task import CodeTask
from eval.ask.tasks.format import COMPLETE, TaskFormat, text_field

# evalplus/eval/__init__.py: numpy.allclose with rtol=1e-7, and atol=1e-6 where a task gives none and holds floats;
# find_zero is right where the polynomial is near 0.
_TEST = """
import copy, json


def close(found, right, atol):
    if isinstance(right, (list, tuple)):
        same = type(found) is type(right) and len(found) == len(right)
        return same and all(close(one, two, atol) for one, two in zip(found, right))
    if found == right:
        return True
    if isinstance(right, float) or atol:
        try:
            return abs(found - right) <= (atol or 1e-6) + 1e-7 * abs(right)
        except TypeError:
            return False
    return False


def check(candidate):
    known = {{}}
    exec({solution!r}, known)
    for given in json.loads({inputs!r}):
        found = candidate(*copy.deepcopy(given))
        if {name!r} == "find_zero":
            assert abs(known["poly"](*given, found)) <= {atol!r}, given
        else:
            assert close(found, known[{name!r}](*copy.deepcopy(given)), {atol!r}), given


check({name})
"""


def _read(record: Record, place: str) -> CodeTask:
    prompt, name = text_field(record, "prompt", place), text_field(record, "entry_point", place)
    reference = text_field(record, "canonical_solution", place)
    inputs = []
    for field in ("base_input", "plus_input"):
        if not isinstance(record[field], list):
            raise UserError(f"{place}: field {field!r} must be a list of lists of arguments")
        inputs += record[field]
    atol = record.get("atol", 0)
    if not isinstance(atol, int | float):
        raise UserError(f"{place}: field 'atol' must be a number, found {atol!r}")
    return CodeTask(
        id=str(record["task_id"]),
        ask=COMPLETE.format(code=prompt.strip()),
        before=prompt,
        after="",
        test=_TEST.format(solution=prompt + reference, inputs=json.dumps(inputs), name=name, atol=atol),
        entry_point=name,
        reference=reference,
    )


HUMAN_EVAL_PLUS = TaskFormat(
    "HumanEval+", frozenset({"task_id", "prompt", "entry_point", "base_input", "plus_input"}), _read
)
