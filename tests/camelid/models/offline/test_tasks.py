"""The tasks of the embedded teacher: varied, and their answers are right."""

import re
from random import Random

from camelid.models.offline.tasks import FAMILIES
from selfinstruct.keep.rules import read_rules
from selfinstruct.keep.selection import Selection
from selfinstruct.seeds import Task


def test_computed_answers_are_right() -> None:
    """Checked against arithmetic done here on the numbers of the question."""
    [add, subtract, multiply, compare] = FAMILIES["arithmetic"]
    for seed in range(200):
        for family, result in ((add, lambda x, y: x + y), (multiply, lambda x, y: x * y)):
            question, _, answer = family(Random(seed))
            x, y = map(int, re.findall(r"\d+", question))
            assert str(result(x, y)) in re.findall(r"\d+", answer), (question, answer)
        question, _, answer = subtract(Random(seed))
        numbers = sorted(map(int, re.findall(r"\d+", question)))
        assert re.findall(r"\d+", answer) == [str(numbers[1] - numbers[0])]
        question, _, answer = compare(Random(seed))
        (one, x), (two, y) = re.findall(r"(\w+) found (\d+)", question)
        assert answer.startswith(one if int(x) > int(y) else two)


def test_every_family_makes_records_that_pass_the_filters() -> None:
    selection = Selection([], read_rules())
    for families in FAMILIES.values():
        for family in families:
            tasks = [Task(*family(Random(seed))) for seed in range(50)]
            assert any(selection.reason_to_drop(task) is None for task in tasks), family.__name__
            assert len({task.instruction + task.input for task in tasks}) > 5, family.__name__
