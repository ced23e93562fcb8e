"""Maths references against a computation of their own."""

import itertools
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
import sympy

from tests.eval.ask.own_questions import ref, says


def test_single_math() -> None:
    now = Fraction(120, 100) * Fraction(80, 100) * Fraction(125, 100)
    assert now == Fraction(6, 5) and 1 - 1 / now == Fraction(1, 6)
    says(68, 0, "20%")
    assert "must fall by 1 - 1/1.2 = 1/6, that is by 16.67%" in ref(68)
    says(69, 0, sum(1 for n in range(1, 1001) if n % 6 and n % 10 and n % 15))
    expected = sympy.symbols("e1:7")
    going_on = [
        sympy.Eq(expected[i], 1 + sympy.Rational(1, 6) * sum(expected[j] for j in range(6) if abs(i - j) != 1))
        for i in range(6)
    ]
    solution = sympy.solve(going_on, expected)
    total = 1 + sum(solution.values()) / 6
    says(70, 0, total, f"{float(total):.3f}")
    assert [f"E{i + 1} = {solution[expected[i]]}" in ref(70) for i in range(3)] == [True] * 3


def test_triangle() -> None:
    corners = [sympy.Point(0, 0), sympy.Point(14, 0), sympy.Point(5, 12)]
    triangle = sympy.Triangle(*corners)
    assert sorted(side.length for side in triangle.sides) == [13, 14, 15]
    says(131, 0, triangle.area, triangle.inradius)
    distance = triangle.incenter.distance(triangle.circumcenter)
    assert distance == sympy.sqrt(65) / 8
    says(131, 1, triangle.circumradius, "sqrt(65)/8", f"{float(distance):.3f}")


def test_marbles() -> None:
    draws = [{"RRRRRBBBBGGG"[i] for i in draw} for draw in itertools.combinations(range(12), 3)]
    says(132, 0, Fraction(sum(len(draw) == 3 for draw in draws), len(draws)), 0.273)
    red = [draw for draw in draws if "R" in draw]
    says(132, 1, Fraction(sum(len(draw) == 2 for draw in red), len(red)), 0.622)


def test_remainders() -> None:
    found = [n for n in range(1, 10_001) if (n % 7, n % 9, n % 11) == (3, 4, 5)]
    says(133, 0, found[0])
    says(133, 1, len(found), *[n for n in found if n % 5 == 0][:2])
    assert sum(n % 5 == 0 for n in found) == 3 and "2425, 5890 and 9355." in ref(133, 1)


def test_bananas() -> None:
    words = {"".join(letters) for letters in itertools.permutations("BANANAS")}
    apart = [word for word in words if "AA" not in word]
    says(134, 0, len(words), len(apart))
    says(134, 1, sum("NN" not in word for word in apart))


def test_pumps() -> None:
    a, b, drain = Fraction(1, 6), Fraction(1, 4), Fraction(1, 12)
    says(135, 0, 1 / (a + b - drain), "hours")
    filled = (a + b) + (a + b - drain) / 2
    assert Fraction(3, 2) + (1 - filled) / (a - drain) == Fraction(13, 2)
    assert ref(135, 1).startswith("6 and a half hours")


def test_can() -> None:
    r = sympy.symbols("r", positive=True)
    for index, caps in ((0, 1), (1, 2)):
        cost = caps * 2 * sympy.pi * r**2 + 2000 / r
        (best,) = sympy.solve(sympy.diff(cost, r), r)
        height = 1000 / (sympy.pi * best**2)
        assert best**3 == sympy.Rational(500, caps) / sympy.pi
        says(
            136,
            index,
            f"({500 // caps}/pi)^(1/3)",
            f"{float(best):.2f} cm",
            f"{float(height):.2f} cm",
            f"ratio h/r = {float(height / best):.0f}",
        )


def test_roots() -> None:
    x = sympy.symbols("x")
    roots = [complex(root) for root in sympy.Poly(x**3 - 6 * x**2 + 3 * x + 7).nroots(n=30)]
    assert sum(root**2 for root in roots) == pytest.approx(30) and sum(1 / root for root in roots) == pytest.approx(
        -3 / 7
    )
    says(137, 0, 30, "-3/7")
    assert sum(root**3 for root in roots) == pytest.approx(141)
    squares = sympy.Poly(sympy.prod([x - root**2 for root in roots]), x).all_coeffs()
    assert [complex(value) for value in squares] == pytest.approx([1, -30, 93, -49])
    says(137, 1, 141, "x^3 - 30x^2 + 93x - 49")


def repay(payment: int) -> tuple[int, Decimal]:
    debt, cent, count, last = Decimal(12_000), Decimal("0.01"), 0, Decimal(0)
    while debt > 0 and count < 1000:
        debt += (debt * cent).quantize(cent, ROUND_HALF_UP)
        last = min(debt, Decimal(payment))
        debt, count = debt - last, count + 1
    return count, last


def test_loan() -> None:
    says(138, 0, *repay(500))
    smallest = next(payment for payment in range(121, 1000) if repay(payment)[0] <= 24)
    says(138, 1, smallest)
    assert repay(smallest - 1)[0] == 25 and repay(120)[0] == 1000


def test_dice_game() -> None:
    def value(throws: int, price: Fraction) -> Fraction:
        going_on = value(throws - 1, price) - price if throws > 1 else Fraction(0)
        return sum((max(Fraction(face), going_on) for face in range(1, 7)), Fraction(0)) / 6

    says(139, 0, value(3, Fraction(0)))
    paid = value(3, Fraction(1, 4))
    says(139, 1, paid, float(paid))
    assert (
        4 < value(2, Fraction(0)) < 5 and 3 < value(2, Fraction(1, 4)) - Fraction(1, 4) < 4
    )  # keep 5, 6; keep 4, 5, 6


def test_matrix() -> None:
    a = sympy.Matrix([[1, 1], [0, 2]])
    power = a**10
    says(140, 0, f"({power[0, 0]}, {power[0, 1]}) and ({power[1, 0]}, {power[1, 1]})", "(1, 2^n - 1) and (0, 2^n)")
    total, size = sympy.zeros(2), 0
    while sum(total) <= 10**6:
        total, size = total + a**size, size + 1
        assert total == sympy.Matrix([[size, 2**size - 1 - size], [0, 2**size - 1]])
    says(140, 1, "(n, 2^n - 1 - n) and (0, 2^n - 1)", size)
