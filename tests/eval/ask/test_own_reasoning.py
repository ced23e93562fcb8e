"""Reasoning references against brute force."""

import itertools
import re
from collections import deque
from collections.abc import Callable, Iterator

import pytest

from tests.eval.ask.own_questions import ref, turn


def test_seats() -> None:
    def orders(with_eli: bool) -> list[str]:
        found = []
        for order in itertools.permutations(("Ana", "Bo", "Cem", "Dia", "Eli")):
            ana, bo, cem, dia, eli = (order.index(name) for name in ("Ana", "Bo", "Cem", "Dia", "Eli"))
            if (
                abs(ana - bo) != 1
                and dia - cem == 2
                and abs(bo - dia) == 1
                and ana > dia
                and (eli == 4 or not with_eli)
            ):
                found.append(", ".join(order))
        return found

    (only,) = orders(True)
    assert ref(121).startswith(only)
    three = orders(False)
    assert len(three) == 3 and all(order in ref(121, 1).split("Dia is in seat")[0] for order in three)
    assert ref(121, 1).startswith("Three")


def test_knights() -> None:
    worlds = [
        world
        for world in itertools.product((True, False), repeat=3)
        if world[0] == (sum(world) == 1) and world[1] == (world[0] != world[1]) and world[2] == (not all(world))
    ]
    assert worlds == [(False, True, True)]
    assert ref(122).startswith("Arno is a knave, Bela and Caro are knights.")
    with_spy = []
    for dora, emil, fritz in itertools.permutations(("knight", "knave", "spy")):
        claims = ((dora, dora != "spy"), (emil, fritz != "knight"), (fritz, emil == "knight"))
        if all(kind == "spy" or truth == (kind == "knight") for kind, truth in claims):
            with_spy.append((dora, emil, fritz))
    assert with_spy == [("knight", "spy", "knave")]
    assert ref(122, 1).startswith("Dora is the knight, Emil is the spy, Fritz is the knave.")


def test_months() -> None:
    names = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()

    def starts(days: int) -> list[str]:
        return [
            names[first]
            for first in range(7)
            if all([(first + day) % 7 for day in range(days)].count(weekday) == 4 for weekday in (0, 4))
        ]

    assert starts(31) == ["Tuesday"] and ref(123).startswith("Tuesday.")
    assert starts(30) == ["Tuesday", "Wednesday", "Saturday"]
    assert ref(123, 1).startswith("Tuesday, Wednesday or Saturday.")


def test_runners() -> None:
    names = ("Ada", "Ben", "Cleo", "Dov", "Eva")

    def orders(truths: dict[str, int]) -> list[str]:
        found = []
        for order in itertools.permutations(names):
            place = {name: order.index(name) + 1 for name in names}
            count = {
                "Ada": (place["Ben"] == 2) + (place["Ada"] == 3),
                "Ben": (place["Dov"] == 2) + (place["Cleo"] == 1),
                "Cleo": (place["Ada"] == 5) + (place["Cleo"] == 4),
                "Dov": (place["Cleo"] == 4) + (place["Ben"] == 3),
                "Eva": (place["Eva"] == 5) + (place["Ada"] == 4),
            }
            if all(count[name] == truths.get(name, 1) for name in names):
                ordinals = ("1st", "2nd", "3rd", "4th", "5th")
                found.append(", ".join(f"{ordinal} {name}" for ordinal, name in zip(ordinals, order, strict=True)))
        return found

    (first,), (second,) = orders({}), orders({"Ben": 0})
    assert ref(124).startswith(first) and ref(124, 1).startswith(second)


def test_parcels() -> None:
    known: dict[str, tuple[bool | None, bool | None]] = {  # marked, in foam
        "P": (True, None),
        "Q": (False, None),
        "R": (None, True),
        "S": (None, False),
        "T": (True, True),
    }

    def can_break(rule: Callable[[bool, bool], bool]) -> list[str]:
        worlds = list(itertools.product((True, False), repeat=2))
        return [
            name
            for name, (marked, foam) in known.items()
            if any(not rule(m, f) for m, f in worlds if marked in (None, m) and foam in (None, f))
        ]

    assert can_break(lambda marked, foam: not marked or foam) == ["P", "S"] and ref(125).startswith("P and S.")
    assert can_break(lambda marked, foam: marked == foam) == ["P", "Q", "R", "S"]
    assert ref(125, 1).startswith("P, Q, R and S must") and "Only T never breaks either rule" in ref(125, 1)


def test_bakers() -> None:
    kinds = list(itertools.product((False, True), repeat=4))  # baker, cyclist, choir, left-handed

    def worlds(more: bool) -> Iterator[list[tuple[bool, ...]]]:
        allowed = [
            (b, c, s, left)
            for b, c, s, left in kinds
            if (c or not b) and not (s and left) and (not more or b or not left)
        ]
        for size in range(len(allowed) + 1):
            for people in itertools.combinations(allowed, size):
                if any(c and s for _, c, s, _ in people) and (not more or any(left for *_, left in people)):
                    yield list(people)

    statements: dict[str, Callable[[list[tuple[bool, ...]]], bool]] = {
        "a": lambda w: any(b and s for b, _, s, _ in w),
        "b": lambda w: any(c and not left for _, c, _, left in w),
        "c": lambda w: not any(b and left for b, _, _, left in w),
        "d": lambda w: not any(s and left for _, _, s, left in w),
        "e": lambda w: all(c for _, c, _, left in w if left),
        "f": lambda w: any(b and not s for b, _, s, _ in w),
        "g": lambda w: all(left for b, _, _, left in w if b),
        "h": lambda w: any(c and not b for b, c, _, _ in w),
    }
    before, after = list(worlds(False)), list(worlds(True))
    assert [name for name in "abcd" if all(map(statements[name], before))] == ["b", "d"]
    assert ref(126).startswith("Only (b) and (d).")
    assert [name for name in "efgh" if all(map(statements[name], after))] == ["e", "f"]
    assert [name for name in "abcd" if not any(map(statements[name], after))] == ["c"]
    assert ref(126, 1).startswith("(e) and (f) must be true, and (c) is now certainly false.")


@pytest.mark.parametrize(("index", "forbidden"), [(0, set[tuple[int, int]]()), (1, {(1, 2)})])
def test_vessels(index: int, forbidden: set[tuple[int, int]]) -> None:
    sizes = (11, 7, 4)

    def after(state: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        for source, target in itertools.permutations(range(3), 2):
            moved = min(state[source], sizes[target] - state[target])
            if moved and (source, target) not in forbidden:
                new = list(state)
                new[source] -= moved
                new[target] += moved
                yield tuple(new)

    distance = {(11, 0, 0): 0}
    queue = deque(distance)
    while queue:
        state = queue.popleft()
        for new in after(state):
            if new not in distance:
                distance[new] = distance[state] + 1
                queue.append(new)
    least = min(steps for state, steps in distance.items() if 5 in state)
    assert ref(127, index).startswith(f"{least} pourings.")
    listed = [(int(a), int(b), int(c)) for a, b, c in re.findall(r"\((\d+),(\d+),(\d+)\)", ref(127, index))]
    assert len(listed) == least + 1 and listed[0] == (11, 0, 0) and 5 in listed[-1]
    assert all(new in after(state) for state, new in itertools.pairwise(listed))


def test_bridge() -> None:
    def shortest(times: tuple[int, ...]) -> int:
        start = (frozenset(times), True)
        best = {start: 0}
        queue = deque([start])
        while queue:  # label-correcting search; the graph is tiny
            here, lamp = state = queue.popleft()
            side = here if lamp else frozenset(times) - here
            for group in [*itertools.combinations(side, 1), *itertools.combinations(side, 2)]:
                new = (here - set(group) if lamp else here | set(group), not lamp)
                if best[state] + max(group) < best.get(new, 999):
                    best[new] = best[state] + max(group)
                    queue.append(new)
        return best[frozenset(), False]

    for index, times in enumerate([(2, 3, 7, 9), (2, 3, 7, 9, 12)]):
        assert ref(128, index).startswith(f"{shortest(times)} minutes.")
        (added,) = re.findall(r": ([\d +]+) = " + str(shortest(times)), ref(128, index))
        assert sum(map(int, added.split(" + "))) == shortest(times)


def test_code_words() -> None:
    def encode(word: str) -> str:
        return word[::-1].translate(str.maketrans("aeiou", "eioua"))

    plain = turn(129).split("Encode: ")[1].split()
    assert ref(129).startswith(" ".join(map(encode, plain)) + ".")
    message = turn(129, 1).rsplit(": ", 1)[1]
    answer = ref(129, 1).split(".")[0]
    assert " ".join(encode(word)[1:] + encode(word)[0] for word in answer.split()) == message


def test_robot() -> None:
    program = turn(130).split("carries out: ")[1].split(". ")[0].split(", ")

    def run(faulty: bool) -> tuple[complex, complex]:
        place, heading, turns = 0j, 1j, 0
        for command in program:
            if command.startswith("forward"):
                place += heading * int(command.split()[1])
            else:
                turns += 1
                heading *= -1 if faulty and turns % 2 == 0 else {"right": -1j, "left": 1j}[command]
        return place, heading

    assert run(False) == (6 - 1j, 1j) and f"{abs(6 - 1j):.2f}" == "6.08"
    assert ref(130).startswith("It ends at (6, -1), facing north, sqrt(37) = about 6.08")
    assert run(True) == (-3, 1j) and ref(130, 1).startswith("It ends at (-3, 0), facing north; a right turn")
    assert "'forward 3'" in ref(130, 1)
