"""HumanEval+ as its own releases have it (Liu et al. 2023; github.com/evalplus/evalplus): inputs instead of tests.

What is right is what the canonical solution gives, within `atol` for floating-point numbers and exactly otherwise.
"""

import json

from camelid.errors import UserError
from camelid.files.read import Record
from eval.ask.code_task import CodeTask
from eval.ask.tasks.format import COMPLETE, TaskFormat, text_field

# evalplus/eval/__init__.py (0.3.1): equal, or numpy.allclose with rtol=1e-7 and the task's atol, which is 1e-6 where it
# has none and a number or a list of them is expected. find_zero is right where the polynomial is near 0.
_TEST = """
import copy, json


def close(found, right, atol):
    if found == right:
        return True
    several = isinstance(right, (list, tuple)) and right
    floats = isinstance(right, float) or (several and all(isinstance(one, float) for one in right))
    atol = atol or (1e-6 if floats else 0)
    return bool(atol) and type(found) is type(right) and near(found, right, atol)


def near(found, right, atol):
    if isinstance(right, (list, tuple)):
        return len(found) == len(right) and all(near(one, two, atol) for one, two in zip(found, right))
    return abs(found - right) <= atol + 1e-7 * abs(right)


def check(candidate):
    known = {{}}
    exec({solution!r}, known)
    for given in json.loads({inputs!r}):
        found = candidate(*copy.deepcopy(given))
        if {name!r} == "find_zero":
            assert abs(known["poly"](*given, found)) <= ({atol!r} or 1e-6), given
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
