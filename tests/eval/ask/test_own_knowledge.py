"""Knowledge, common-sense, Fermi and science references against a computation of their own."""

import itertools
import math
import re
from collections.abc import Iterator
from fractions import Fraction

import pytest
import sympy

from tests.eval.ask.own_questions import ref, says


def test_knowledge() -> None:
    leap = sum(year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) for year in range(400))
    mean = 365 + Fraction(leap, 400)
    assert f"{leap} leap years in 400" in ref(11) and f"= {float(mean)} days" in ref(11)
    assert 3000 < 1 / (float(mean) - 365.2422) < 3500 and round(1 / (365.25 - 365.2422)) == 128
    assert "3,300" in ref(11) and "128 years" in ref(11)
    public = pow(5, 6, 23), pow(5, 15, 23)
    assert pow(public[1], 6, 23) == pow(public[0], 15, 23)
    says(16, 0, pow(public[0], 15, 23))
    assert f"5^6 mod 23 = {public[0]}" in ref(16) and f"5^15 mod 23 = {public[1]}" in ref(16)
    assert ref(18).startswith(
        f"Amplitude: about 10^2 = {10**2} times"
    ) and f"Energy: about 10^(1.5*2) = {10**3:,} times" in ref(18)
    assert round(10**1.5) == 32 and "about 32 for each unit" in ref(18)


def test_roleplay_and_common_sense() -> None:
    assert Fraction(1, 3) + Fraction(1, 4) == Fraction(7, 12) and "7/12" in ref(23)
    assert Fraction(2, 7) < Fraction(1, 3)
    assert 2_000_000 / 0.05 == 40e6 and "= 40 million (post-money; 38 million" in ref(27)
    says(33, 0, "0.5 * 0.7 = 0.35", "65%")
    assert round(1 - 0.5 * 0.7, 9) == 0.65
    gaps = [2, 18]
    wait = sum(gap**2 for gap in gaps) / 2 / sum(gaps)
    assert f"= {wait} minutes" in ref(39)
    needed = 10 * math.sqrt(9 / 5 - 1)
    assert f"about {needed:.1f} minutes" in ref(39)


def test_plain_english_example_is_short_enough() -> None:
    example = ref(73).split('"')[1]
    assert len(example.split()) == 50 and "(50 words)" in ref(73)


FERMI = {  # question: what the stated assumptions give, and the acceptable range in the reference
    41: (130 * 1e6, 5e7, 3e8),
    42: (60 * 0.8 * (36 * 5.5 + 30), 5e3, 2e4),
    43: (70 * 525600 * 80 / (600 * 525600 * 2), 2, 10),
    44: (8e9 * 0.5 / 4e7, 50, 200),
    45: (9 * 7 * 3 * 1.2, 120, 450),
    46: (2.5e6 / (1 / 0.8), 1.5e6, 4e6),
    47: (80 * 4184 / 4 / (70 * 9.8 * 3), 25, 70),
    48: (64_000 / 8 * 16 * 3600 * 365 * 80 / 1e12, 10, 16),
    49: (3e9 / 3.6e14 * 1e6, 2, 30),
    50: (math.pi * 7**2 * 5 / 0.004, 5e4, 7e5),
}


@pytest.mark.parametrize("number", FERMI)
def test_fermi(number: int) -> None:
    value, low, high = FERMI[number]
    assert low < value < high

    def written(bound: float) -> Iterator[str]:
        exponent = math.floor(math.log10(bound))
        yield f"{bound:,.0f}"
        yield f"{bound:g}"
        yield f"{bound / 10**exponent:g} * 10^{exponent}"
        yield f"{bound / 1e6:g}"

    ranges = " ".join(re.findall(r"cceptable: [^.);]*(?:\.\d[^.);]*)?", ref(number)))
    assert any(text in ranges for text in written(low)) and any(text in ranges for text in written(high)), ranges
    leading = {41: "1.3 * 10^8", 42: "10,000", 43: "5", 44: "100", 45: "230", 46: "2 million", 47: "40", 48: "13"}
    leading |= {49: "8 micrometres", 50: "200,000"}
    stated = re.sub(r" \* 10\^", "e", leading[number]).replace(",", "").replace(" million", "e6").split(" ")[0]
    says(number, 0, leading[number])
    assert value == pytest.approx(float(stated), rel=0.15)


def test_grains_of_rice() -> None:
    assert round(1 / 22e-6, -3) == 45_000
    says(46, 0, "45,000 grains", "30,000 to 70,000", "2 million bags")


def test_moon() -> None:
    solar = 0.46  # of the lunar tide; G M / d^3 of the two bodies
    assert pytest.approx(solar, abs=0.01) == (1.989e30 / 1.496e11**3) / (7.342e22 / 3.844e8**3)
    assert solar / (1 + solar) == pytest.approx(1 / 3, abs=0.03) and "roughly a third of today's spring tides" in ref(
        58
    )


def test_physics() -> None:
    t = sympy.symbols("t", positive=True)
    (fall,) = sympy.solve(25 + 20 * t - 5 * t**2, t)
    says(161, 0, f"{25 + 20**2 // 20} m", f"{fall} s", f"{abs(20 - 10 * fall)} m/s")
    (flat,) = sympy.solve(25 - 5 * t**2, t)
    assert sympy.sqrt(20**2 + (10 * flat) ** 2) == 30
    says(161, 1, "sqrt(5) =", f"{float(flat):.2f} s", f"{float(20 * flat):.1f} m", "30 m/s")
    current = 12 / (6 * 3 / (6 + 3) + 0.5)
    says(167, 0, f"{current} A", f"{12 - 0.5 * current} V", f"{(12 - 0.5 * current) ** 2 / 3:.2f} W")
    r = sympy.symbols("r", positive=True)
    power = (12 / (r + sympy.Rational(1, 2))) ** 2 * r
    (best,) = sympy.solve(sympy.diff(power, r), r)
    says(167, 1, f"{float(best)} ohm", f"{power.subs(r, best)} W", "50%")


def test_orbits() -> None:
    assert 4**1.5 == 8 and 29.8 / 4**0.5 == 14.9
    says(166, 0, "8 years", "14.9 km/s")
    says(
        166, 1, f"{(4**3 / 2) ** 0.5:.2f} years", f"{29.8 * (2 / 4) ** 0.5:.1f} km/s", f"{(8**2 * 2) ** (1 / 3):.2f} AU"
    )


def test_chemistry() -> None:
    oxygen, hydrogen = 64.0 / 32.00, 10.0 / 2.016
    assert hydrogen > 2 * oxygen
    water = 2 * oxygen * (2.016 + 16.00)
    says(162, 0, f"{10.0 - 2 * oxygen * 2.016:.2f} g", f"{water:.1f} g")
    heat = 2 * oxygen * 286
    says(162, 1, f"{heat:.0f} kJ", f"{heat / (4.18 * 80):.2f} kg")


def test_genetics() -> None:
    def traits(gametes: dict[str, Fraction]) -> tuple[Fraction, Fraction]:
        both = one = Fraction(0)
        for (x, p), (y, q) in itertools.product(gametes.items(), repeat=2):
            shown = ("A" in x + y) + ("B" in x + y)
            both, one = both + p * q * (shown == 2), one + p * q * (shown == 1)
        return both, one

    both, one = traits(dict.fromkeys(("AB", "Ab", "aB", "ab"), Fraction(1, 4)))
    says(163, 0, both, one)
    linked = {"AB": Fraction(4, 10), "ab": Fraction(4, 10), "Ab": Fraction(1, 10), "aB": Fraction(1, 10)}
    both, one = traits(linked)
    says(163, 1, f"{float(both):.0%}", f"{float(one):.0%}")


def test_disease() -> None:
    def sick(prior: float, positive: bool) -> float:
        true, false = (0.95, 0.10) if positive else (0.05, 0.90)
        return prior * true / (prior * true + (1 - prior) * false)

    first = sick(0.02, True)
    says(164, 0, f"{first:.1%}")
    says(164, 1, f"{sick(first, True):.1%}", f"{sick(first, False):.1%}")


def test_collisions() -> None:
    unique, count = 0.0, 0
    while unique > math.log(0.5):
        unique, count = unique + math.log1p(-count / 2**32), count + 1
    assert round(count, -3) == 77_000 and abs(count - 77_163) < 3
    says(165, 0, "77,000")
    bits = next(bits for bits in range(64, 130) if (10**9) ** 2 / 2 / 2**bits < 1e-6)
    says(165, 1, f"{bits} bits")
    assert "2.7%" in ref(165, 1) and -math.expm1(-((10**9) ** 2) / 2 / 2**64) == pytest.approx(0.027, abs=0.0005)
    assert math.log10((10**9) ** 2 / 2 / 2**122) == pytest.approx(-19, abs=0.1)
