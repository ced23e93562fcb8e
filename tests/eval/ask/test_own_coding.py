"""Coding references run, against oracles where there is one."""

import asyncio
import datetime
import itertools
import random
import re
import sqlite3
import statistics
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.eval.ask.own_questions import ref, turn


def blocks(text: str, language: str = "python") -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def code(number: int, index: int = 0, before: str = "") -> dict[str, Any]:
    (block,) = blocks(ref(number, index))
    names: dict[str, Any] = {}
    exec(before + block, names)
    return names


def outcome(function: Callable[..., Any], *args: Any) -> Any:
    try:
        return function(*args)
    except Exception as error:
        return type(error)


def test_free_slots() -> None:
    free_slots = code(61)["free_slots"]
    assert free_slots([(60, 120), (70, 90)], 0, 200, 10) == [(0, 60), (120, 200)]
    assert free_slots([], 5, 5, 0) == []
    rng = random.Random(0)
    for _ in range(300):
        busy = [(a := rng.randrange(40), a + rng.randrange(1, 9)) for _ in range(rng.randrange(6))]
        first, last, least = 8, 32, rng.randrange(1, 6)
        free = [t for t in range(first, last) if not any(a <= t < b for a, b in busy)]
        starts = [t for t in free if t - 1 not in free]
        slots = [(t, next(u for u in range(t, last + 1) if u not in free)) for t in starts]
        before = list(busy)
        assert free_slots(busy, first, last, least) == [(a, b) for a, b in slots if b - a >= least] and busy == before


def test_moving_average() -> None:
    moving_average = code(62)["moving_average"]
    values = [3, 1, 4, 1, 5, 9, 2, 6]
    for size in range(1, 10):
        wanted = [statistics.mean(values[i : i + size]) for i in range(len(values) - size + 1)]
        assert moving_average(values, size) == pytest.approx(wanted)
    assert outcome(moving_average, values, 0) is ValueError
    names: dict[str, Any] = {}
    exec(blocks(turn(62))[0], names)  # all three bugs show
    assert names["moving_average"]([1, 2, 4, 5], 2) == [1, 3] and names["moving_average"]([1, 1, 1], 2) == [1, 3, 1]


def test_second_salary() -> None:
    rng = random.Random(1)
    rows = [(i, f"n{i:02}", rng.choice("abc"), rng.choice((1, 2, 3))) for i in range(20)] + [(99, "x", "d", 5)]
    rows.append((98, "y", "d", 5))
    wanted = []
    for department in "abcd":
        salaries = sorted({row[3] for row in rows if row[2] == department}, reverse=True)
        wanted += [(d, n, s) for _, n, d, s in rows if d == department and len(salaries) > 1 and s == salaries[1]]
    with sqlite3.connect(":memory:") as base:
        base.execute("CREATE TABLE employees(id, name, department, salary)")
        base.executemany("INSERT INTO employees VALUES (?, ?, ?, ?)", rows)
        assert base.execute(blocks(ref(63), "sql")[0]).fetchall() == wanted


def test_expiring_lru() -> None:
    now = [0]
    cache = code(64)["ExpiringLRU"](2, 10, lambda: now[0])
    cache.put("a", 1)
    now[0] = 5
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)  # b is the least recently used one
    assert [cache.get(key) for key in "abc"] == [1, None, 3]
    cache.put("c", 4)
    assert [cache.get(key) for key in "ca"] == [4, 1]
    now[0] = 10  # a is expired although used last
    cache.put("d", 5)
    assert [cache.get(key) for key in "acd"] == [None, 4, 5]
    now[0] = 15
    assert cache.get("c") is None


def test_divisible_by_three() -> None:
    pattern = code(65)["DIVISIBLE_BY_THREE"]
    assert not pattern.fullmatch("")
    for length in range(1, 12):
        for digits in map("".join, itertools.product("01", repeat=length)):
            assert bool(pattern.fullmatch(digits)) == (int(digits, 2) % 3 == 0)


def test_parse_duration() -> None:
    parse = code(66)["parse_duration"]
    right = {"1h 15m": 4500, "2d30s": 172830, "0s": 0, "1w2d3h4m5s": 788645, " 90m ": 5400, "1w  1s": 604801}
    assert {text: parse(text) for text in right} == right
    for text in ("", " ", "m", "5", "1m 1h", "1h 1h", "-1s", "+1s", "1 h", "1.5h", "1h x 1m", "1H"):
        assert outcome(parse, text) is ValueError, text


def test_mystery() -> None:
    names: dict[str, Any] = {}
    exec(blocks(turn(67))[0], names)
    rng = random.Random(2)
    for _ in range(200):
        values = [rng.randrange(8) for _ in range(rng.randrange(12))]
        pairs = sum(a - i == b - j for (i, a), (j, b) in itertools.combinations(enumerate(values), 2))
        assert code(67)["mystery"](values) == names["mystery"](values) == pairs


def test_wrap() -> None:
    wrap, wrap_even = code(141)["wrap"], code(141, 1)["wrap_even"]

    def cost(lines: list[str], width: int) -> float:
        return sum((width - len(line)) ** 2 for line in lines[:-1])

    sample = "aaa bb cc ddddd".split()
    assert wrap(sample, 6) == ["aaa bb", "cc", "ddddd"] and cost(wrap(sample, 6), 6) == 16
    assert wrap_even(sample, 6) == ["aaa", "bb cc", "ddddd"] and cost(wrap_even(sample, 6), 6) == 10
    rng = random.Random(3)
    for _ in range(100):
        words, width = ["x" * rng.randrange(1, 6) for _ in range(rng.randrange(8))], rng.randrange(5, 12)
        layouts = []
        for cuts in itertools.product((True, False), repeat=max(0, len(words) - 1)):
            text = "".join(word + ("\n" if cut else " ") for word, cut in zip(words, (*cuts, True), strict=False))
            layouts.append(text.splitlines())
        fitting = [lines for lines in layouts if all(len(line) <= width for line in lines)]
        assert cost(wrap_even(words, width), width) == min(cost(lines, width) for lines in fitting)
        assert wrap_even(words, width) in fitting and wrap(words, width) in fitting
        assert len(wrap(words, width)) == min(map(len, fitting))


def test_columns() -> None:
    names = code(142)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    every = ["".join(letters) for size in (1, 2, 3) for letters in itertools.product(alphabet, repeat=size)]
    assert [names["column_number"](name) for name in every] == list(range(1, len(every) + 1))
    assert [names["column_name"](number) for number in range(1, len(every) + 1)] == every
    assert [outcome(names["column_number"], name) for name in ("", "a", "A1", "Ä")] == [ValueError] * 4
    assert outcome(names["column_name"], 0) is ValueError
    expand = code(142, 1, blocks(ref(142))[0])["expand"]
    assert expand("Y:AB,A,AA:AC") == "A Y Z AA AB AC".split()
    for spec in ("A:", ":B", "A:B:C", "A,,B", "", "AA:Z", "A, B"):
        assert outcome(expand, spec) is ValueError, spec


def test_first_at_least() -> None:
    buggy: dict[str, Any] = {}
    source = blocks(turn(143))[0]
    exec(source, buggy)
    assert buggy["first_at_least"]([1], 5) == 0
    limited = "    for _ in range(1000):\n        if not lo < hi:\n            return lo"
    exec(source.replace("    while lo < hi:", limited).rpartition("    return lo")[0] + "    return 'for ever'", buggy)
    assert buggy["first_at_least"]([1, 3], 2) == "for ever"
    first, count = code(143)["first_at_least"], code(143, 1)["count_between"]
    rng = random.Random(4)
    for _ in range(300):
        values = sorted(rng.choice((0, 0.5, 1, 2, 2.5, 3)) for _ in range(rng.randrange(9)))
        low, high = rng.choice((-1, 0, 0.5, 2, 4)), rng.choice((-1, 0, 1, 2.5, 4))
        assert first(values, low) == sum(value < low for value in values)
        assert count(values, low, high) == sum(low <= value <= high for value in values)
    assert count(["a", "b", "b", "c"], "b", "bb") == 2


def failing(times: int, error: type[Exception]) -> Callable[[], str]:
    left = [times]

    def function() -> str:
        """Docstring."""
        if left[0]:
            left[0] -= 1
            raise error(left[0])
        return "done"

    return function


def test_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def async_sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("time.sleep", waits.append)
    monkeypatch.setattr("asyncio.sleep", async_sleep)
    for index in (0, 1):
        retry = code(144, index)["retry"]
        decorated = retry(3, KeyError, OSError)(failing(2, KeyError))
        assert decorated() == "done" and decorated.__name__ == "function" and decorated.__doc__ == "Docstring."
        assert outcome(retry(3, KeyError)(failing(3, KeyError))) is KeyError
        assert outcome(retry(3, KeyError)(failing(1, OSError))) is OSError
        assert outcome(retry, 0) is ValueError
    retry = code(144, 1)["retry"]
    waits.clear()
    assert outcome(retry(3, KeyError, base=0.5)(failing(3, KeyError))) is KeyError and waits == [0.5, 1.0]
    inner = failing(2, KeyError)

    async def function() -> str:
        return inner()

    waits.clear()
    assert asyncio.run(retry(4, KeyError, base=1)(function)()) == "done" and waits == [1, 2]


def test_calculate() -> None:
    rng = random.Random(5)

    def expression(depth: int) -> str:
        if depth == 0:
            return rng.choice(("1", "2", "3.5", "10"))
        kind = rng.randrange(6)
        if kind == 0:
            return f"-{expression(depth - 1)}"
        if kind == 1:
            return f"( {expression(depth - 1)})"
        return f"{expression(depth - 1)}{rng.choice(('+', ' - ', '*', '/'))}{expression(depth - 1)}"

    for index in (0, 1):
        calculate = code(145, index)["calculate"]
        for _ in range(200):
            text = expression(3)
            wanted = outcome(eval, text)
            got = outcome(calculate, text)
            assert got == (pytest.approx(wanted) if isinstance(wanted, float | int) else wanted), text
        assert calculate("8-3-2") == 3 and isinstance(calculate("2"), float)
        for text in ("", "2 3", "2+", "(1", "1)", "1 $ 2", "()", "*2", "1..2", ".5"):
            assert outcome(calculate, text) is ValueError, text
    assert outcome(code(145)["calculate"], "2^3") is ValueError
    right = {"2^3^2": 512, "-2^2": -4, "2^-1": 0.5, "2*3^2": 18, "(-2)^2": 4, "2^-2^2": 0.0625, "--2^2": 4}
    assert {text: calculate(text) for text in right} == right


def test_builds() -> None:
    order, waves = code(146)["build_order"], code(146, 1)["build_waves"]
    rng = random.Random(6)
    cycles = 0
    for _ in range(200):
        needs = {t: set(rng.sample("abcdef", rng.choice((0, 0, 1, 2)))) for t in rng.sample("abcdef", 4)}
        targets = sorted(set(needs).union(*needs.values()))
        good = [
            p
            for p in itertools.permutations(targets)
            if all(p.index(other) < p.index(t) for t, others in needs.items() for other in others)
        ]
        if good:
            assert order(needs) == list(min(good))
            level: dict[str, int] = {}
            for t in good[0]:
                level[t] = max((level[other] + 1 for other in needs.get(t, ())), default=0)
            depth = max(level.values()) + 1
            assert waves(needs) == [[t for t in targets if level[t] == wave] for wave in range(depth)]
            continue
        cycles += 1
        assert outcome(order, needs) is ValueError
        with pytest.raises(ValueError, match=" -> ") as raised:
            waves(needs)
        path = str(raised.value).split(" -> ")
        assert path[0] == path[-1] and len(set(path)) == len(path) - 1
        assert all(other in needs[t] for t, other in itertools.pairwise(path))
    assert 20 < cycles < 180 and order({}) == [] == waves({})


def test_orders() -> None:
    rng = random.Random(7)
    start = datetime.date(2024, 2, 20)
    rows = [
        (rng.choice("abcd"), (start + datetime.timedelta(rng.randrange(24))).isoformat(), rng.randrange(1, 9))
        for _ in range(50)
    ]
    rows += [("e", "2023-12-31", 1), ("e", "2024-01-01", 500), ("e", "2024-01-01", 1), ("f", "2024-03-01", 502)]
    totals: Counter[str] = Counter()
    for customer, _, amount in rows:
        totals[customer] += amount
    mean = statistics.mean(totals.values())
    rich = sorted(((c, t) for c, t in totals.items() if t > mean), key=lambda pair: (-pair[1], pair[0]))
    runs = []
    for customer in sorted(totals):
        days = {datetime.date.fromisoformat(day) for c, day, _ in rows if c == customer}
        lengths = {
            day: next(n for n in itertools.count(1) if day + datetime.timedelta(n) not in days) for day in sorted(days)
        }
        first = max(lengths, key=lambda day: lengths[day])  # the earliest of the longest
        runs.append((customer, lengths[first], first.isoformat()))
    with sqlite3.connect(":memory:") as base:
        base.execute("CREATE TABLE orders(customer, day, amount)")
        base.executemany("INSERT INTO orders VALUES (?, ?, ?)", rows)
        assert base.execute(blocks(ref(147), "sql")[0]).fetchall() == rich and len(rich) == 2
        assert base.execute(blocks(ref(147, 1), "sql")[0]).fetchall() == runs


@pytest.mark.parametrize("index", [0, 1])
def test_text_buffer(index: int) -> None:
    buffer = code(148, index)["TextBuffer"]()
    buffer.undo()
    buffer.redo()
    buffer.insert(0, "abcd")
    buffer.delete(1, 3)
    assert buffer.text == "ad"
    buffer.undo()
    assert buffer.text == "abcd"
    buffer.redo()
    buffer.undo()
    buffer.insert(4, "!")
    buffer.redo()
    assert buffer.text == "abcd!"
    assert [outcome(buffer.insert, 9, "x"), outcome(buffer.insert, -1, "x")] == [IndexError] * 2
    assert [outcome(buffer.delete, 3, 9), outcome(buffer.delete, 2, 1)] == [IndexError] * 2
    buffer.undo()
    buffer.undo()
    assert buffer.text == ""


def test_text_buffer_groups() -> None:
    buffer = code(148, 1)["TextBuffer"]()
    buffer.insert(0, "ab")
    with buffer.group():
        buffer.insert(2, "c")
        with buffer.group():
            buffer.insert(3, "d")
        assert [outcome(buffer.undo), outcome(buffer.redo)] == [RuntimeError] * 2
    with buffer.group():
        pass
    assert buffer.text == "abcd"
    buffer.undo()
    assert buffer.text == "ab"
    buffer.redo()
    assert buffer.text == "abcd"
    with pytest.raises(KeyError), buffer.group():
        buffer.delete(0, 4)
        raise KeyError
    assert buffer.text == "abcd"
    buffer.redo()
    assert buffer.text == "abcd"
    buffer.undo()
    buffer.undo()
    assert buffer.text == ""


@pytest.mark.parametrize("index", [0, 1])
def test_running_stats(index: int) -> None:
    new = code(149, index)["RunningStats"]

    def of(values: list[float]) -> Any:
        stats = new()
        for value in values:
            stats.push(value)
        return stats

    exact = of([1e9 + 4, 1e9 + 7, 1e9 + 13])
    assert exact.mean == 1e9 + 8 and exact.variance == pytest.approx(14, rel=1e-12)
    assert [outcome(lambda: new().mean), outcome(lambda: new().variance)] == [ValueError] * 2
    rng = random.Random(8)
    values = [1e9 + rng.gauss(0, 3) for _ in range(100)]
    assert of(values).variance == pytest.approx(statistics.pvariance(values), rel=1e-6)
    if index:
        for cut in (0, 1, 40, 100):
            left, right = of(values[:cut]), of(values[cut:])
            both = left.merge(right)
            assert both.mean == pytest.approx(statistics.mean(values), rel=1e-12)
            assert both.variance == pytest.approx(statistics.pvariance(values), rel=1e-6)
            assert (left.count, right.count, both.count) == (cut, 100 - cut, 100)
        assert outcome(lambda: new().merge(new()).mean) is ValueError


def test_steps(capsys: pytest.CaptureFixture[str]) -> None:
    exec(blocks(turn(150))[0], {})
    printed = capsys.readouterr().out.strip()
    assert ref(150).startswith(f"It prints `{printed}`.")
    (block,) = blocks(ref(150, 1))
    exec(block, {})
    assert f"`{capsys.readouterr().out.strip()}`" in turn(150, 1)
    assert block.splitlines()[-2:] == blocks(turn(150))[0].splitlines()[-2:] and "=" not in block.split("step(")[1][:3]
