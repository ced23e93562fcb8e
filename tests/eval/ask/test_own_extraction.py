"""Extraction references against a parse of the question's own text."""

import csv
import datetime
import io
import itertools
import json
import math
import re
import statistics
from collections import Counter
from decimal import Decimal

import yaml

from tests.eval.ask.own_questions import ref, turn


def test_log() -> None:
    lines = [line.split(" ", 3) for line in turn(151).splitlines() if re.match(r"\d\d:", line)]
    errors = Counter(service for _, level, service, _ in lines if level == "ERROR")
    wanted = dict(sorted(errors.items(), key=lambda item: (-item[1], item[0])))
    assert ref(151).splitlines()[0] == json.dumps(wanted)

    def seconds(clock: str) -> int:
        return int(clock[3:5]) * 60 + int(clock[6:8])

    answer = {}
    for service in sorted(errors):
        own = [(seconds(clock), level, text) for clock, level, name, text in lines if name == service]
        failed = [(when, text) for when, level, text in own if level == "ERROR"]
        back = [when for when, level, text in own if level == "INFO" and "recovered" in text and when > failed[0][0]]
        span = f"{(back[0] - failed[0][0]) // 60:02}:{(back[0] - failed[0][0]) % 60:02}" if back else None
        answer[service] = {"recovery": span, "last_error": failed[-1][1]}
    assert ref(151, 1).splitlines()[0] == json.dumps(answer)


def test_recipe() -> None:
    rows, scaled = (list(csv.reader(io.StringIO(ref(152, index).split("\n\n")[0]))) for index in (0, 1))
    assert rows[0] == scaled[0] == ["ingredient", "amount", "unit"] and len(rows) == len(scaled) == 10
    places = [turn(152).index(row[0]) for row in rows[1:]]
    assert places == sorted(places)
    spelled = {"2": "two", "4": "four", "1.5": "one and a half", "0.5": "half a"}
    millilitres = {"tbsp": 15, "tsp": 5, "l": 1000}
    for (name, amount, unit), (again, more, new_unit) in zip(rows[1:], scaled[1:], strict=True):
        assert name == again
        if not amount:
            assert name == "salt" and not unit + more + new_unit
            continue
        written = f"{spelled.get(amount, amount)} {'' if unit == 'piece' else unit + ' of '}{name}"
        assert written in turn(152), written
        value = float(amount) * 2.5 * millilitres.get(unit, 1)
        assert float(more) == (math.ceil(value) if unit == "piece" else value)
        assert new_unit == ("ml" if unit in millilitres else unit)


def table(text: str) -> list[list[str]]:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return [row for row in rows if not set(row[0]) <= {"-"}]


def test_mails() -> None:
    sent = {}
    for name, day in re.findall(r"From: (\w+)\. Sent: (\w+ \d+ \w+ \d+)\.", turn(153)):
        sent[name] = datetime.datetime.strptime(day, "%A %d %B %Y").date()
        assert f"{sent[name]:%A}" == day.split()[0]
    friday = next(d for d in (sent["Hanna"] + datetime.timedelta(n) for n in range(1, 8)) if d.weekday() == 4)
    due = [
        ("Omar", "Phone the printer", sent["Omar"] + datetime.timedelta(1)),
        ("Omar", "Send the supplier list", friday + datetime.timedelta(7)),
        ("Lucia", "Book the hall", datetime.date(2025, 3, 20) - datetime.timedelta(1)),
    ]
    assert due == sorted(due, key=lambda task: task[2])
    wanted = [[owner, task, day.isoformat(), str((day - sent[owner]).days)] for owner, task, day in due]
    assert table(ref(153, 1))[1:] == wanted
    assert {tuple(row[:2]) for row in table(ref(153))[1:]} == {task[:2] for task in due}


def test_invoice() -> None:
    found = re.findall(r"^(\d+) x (.+) at ([\d.]+) = ([\d.]+)$", turn(154), re.MULTILINE)
    keys = ("item", "quantity", "unit_price", "line_total")
    wanted = [dict(zip(keys, (i, int(q), float(p), float(t)), strict=True)) for q, i, p, t in found]
    assert json.loads(ref(154).splitlines()[0]) == wanted and len(wanted) == 5
    exact = [(item, int(count) * Decimal(price), Decimal(total)) for count, item, price, total in found]
    ((name, right, printed),) = [line for line in exact if line[1] != line[2]]
    assert name == "sheet of sandpaper"
    net = sum(line[1] for line in exact)
    assert ref(154, 1).startswith(f"Sandpaper: 7 * 0.85 = {right}, not {printed}. Net sum: {net}. To pay: ")
    goods = sum(line[1] for line in exact if line[0] != "delivery")
    pay = (goods * Decimal("0.9") + exact[-1][1]) * Decimal("1.2")
    assert f" To pay: {pay.quantize(Decimal('0.01'))}. " in ref(154, 1)


def test_trains() -> None:
    rows = table(turn(155))[1:]

    def minutes(clock: str) -> int:
        return int(clock[:2]) * 60 + int(clock[3:])

    fit = [r for r in rows if r[1] >= "09:00" and r[2] <= "13:00" and int(r[3]) <= 1]
    cheap = sorted(fit, key=lambda row: float(row[4]))
    assert ref(155).startswith(", ".join(row[0] for row in cheap) + " (" + ", ".join(row[4] for row in cheap) + ")")
    lines = []
    for name, start, end, changes, price, bicycles in rows:
        if bicycles == "yes" and int(changes) <= 1:
            length, cost = minutes(end) - minutes(start), float(price) + 6
            lines.append((name, length, cost, cost / length * 60))
    for name, length, cost, rate in lines:
        assert f"\n{name}: {length // 60} h {length % 60:02} min, {cost:.2f}, {rate:.2f} per hour" in ref(155, 1)
    assert ref(155, 1).count(" per hour\n") == len(lines)
    fastest, least = min(lines, key=lambda line: line[1]), min(lines, key=lambda line: line[3])
    head = f"Fastest: {fastest[0]} ({fastest[1] // 60} h {fastest[1] % 60} min). "
    head += f"Least per hour: {least[0]} ({least[3]:.2f} "
    assert ref(155, 1).startswith(head)


def test_numbers() -> None:
    words = {"two": 2, "three": 3, "forty-two": 42, "dozen": 12}
    text = turn(156).split("\n\n")[1].lower()
    found = [
        words.get(word) or int(word) for word in re.findall(r"[a-z-]+|\d+", text) if word in words or word.isdigit()
    ]
    other = "one four five six seven eight nine ten eleven twelve hundred twenty thirty fifty half pair".split()
    assert not set(other) & set(re.findall(r"[a-z]+", text))
    assert ref(156).splitlines()[0] == ", ".join(map(str, sorted(found)))
    animals = 42 + 17 + 3 + 12 - 2 + 9
    assert ref(156, 1).startswith(f"{animals} animals") and sorted({*found} - {42, 17, 3, 12, 2, 9}) == [85, 1936]
    assert "No part: 1936 (a year) and 85 (euros)." in ref(156, 1)


def test_people() -> None:
    people = yaml.safe_load(ref(157).split("\n\n")[0])
    born = {person["name"]: person["birth_year"] for person in people}
    assert list(born.values()) == sorted(born.values()) and all(name in turn(157) for name in born)
    tilda, ines = 1951, 1973 - 19
    assert born == {
        "Per Lund": tilda - 4,
        "Jon Adeyemi": 1949,
        "Tilda Marsh": tilda,
        "Ines Rocha": ines,
        "Sato Mori": ines,
    }
    places = {person["name"]: person["birthplace"] for person in people if person["birthplace"]}
    assert places == {"Per Lund": "Bergen", "Tilda Marsh": "Oslo", "Ines Rocha": "Porto"}
    year = born["Per Lund"] + 30
    ages = sorted(((year - b, name) for name, b in born.items()), key=lambda pair: (-pair[0], pair[1]))
    lines = [f"{name}: {age}" for age, name in ages] + [f"Mean: {statistics.mean(age for age, _ in ages):.1f}"]
    assert ref(157, 1).splitlines()[:6] == lines


def test_configurations() -> None:
    old, new = (
        dict(re.findall(r"^(\w+) = ([^\s#]+)", part, re.MULTILINE)) for part in turn(158).split("Old:")[1].split("New:")
    )
    operations = []
    for key in sorted({*old, *new}):
        if key not in new:
            operations.append({"op": "remove", "key": key})
        elif old.get(key) != new[key]:
            operations.append({"op": "replace" if key in old else "add", "key": key, "value": new[key]})
    assert ref(158, 1) == json.dumps(operations)
    for op, title in (("add", "Added: "), ("remove", "Removed: "), ("replace", "Changed: ")):
        (line,) = [line.removeprefix(title) for line in ref(158).splitlines() if line.startswith(title)]
        keys = [operation["key"] for operation in operations if operation["op"] == op]
        assert [part.split()[0] for part in line.split("; ")] == keys
        assert all(new.get(key, old.get(key)) in line and (op != "replace" or old[key] in line) for key in keys)


def test_votes() -> None:
    votes = dict(re.findall(r"(\w+): (yes|no|abstain)\.", turn(159)))
    assert votes["Brandt"] == "no" and votes["Castro"] == "yes"
    votes |= {"Dube": "yes", "Brandt": "yes", "Castro": "abstain"}
    for sentence in ("she voted yes", "changed his vote to yes", "withdrew her yes and abstained"):
        assert sentence in turn(159)
    assert ref(159).splitlines()[:7] == [f"{name}: {votes[name]}" for name in sorted(votes)] and len(votes) == 7
    count = Counter(votes.values())
    assert f"Yes {count['yes']}, no {count['no']}, abstentions {count['abstain']}." in ref(159)
    assert ref(159, 1).startswith("The motion passes, 3 yes to 2 no; 7 of 9") and 9 * 2 / 3 == 6
    assert count["no"] + 1 == count["yes"] and "3 to 3 with 8 taking part, so the chair decides" in ref(159, 1)
    assert "4 to 2, it passes" in ref(159, 1)


def test_league() -> None:
    matches = re.findall(r"^(\w+) (\d)-(\d) (\w+)$", turn(160), re.MULTILINE)
    assert len(matches) == 6

    def standing(results: list[tuple[str, str, str, str]]) -> dict[str, list[int]]:
        teams: dict[str, list[int]] = {name: [0, 0, 0, 0] for match in results for name in (match[0], match[3])}
        for home, a, b, away in results:
            for name, scored, conceded in ((home, int(a), int(b)), (away, int(b), int(a))):
                points = 3 if scored > conceded else int(scored == conceded)
                teams[name] = [x + y for x, y in zip(teams[name], (1, points, scored, conceded), strict=True)]
        return teams

    def ranked(teams: dict[str, list[int]]) -> list[list[str]]:
        order = sorted(teams.items(), key=lambda item: (item[1][1], item[1][2] - item[1][3], item[1][2]), reverse=True)
        return [[name, str(played), str(points), f"{a}:{b}"] for name, (played, points, a, b) in order]

    assert table(ref(160))[1:] == ranked(standing(matches))
    corrected = [(h, "1", "1", a) if (h, a) == ("Otters", "Badgers") else (h, x, y, a) for h, x, y, a in matches]
    final = ranked(standing(corrected))
    assert table(ref(160, 1))[1:] == final
    level = [pair for pair in itertools.combinations(final, 2) if pair[0][2] == pair[1][2]]
    ((one, other),) = level  # their match was a draw, so the goal difference decides as before
    assert ("Badgers", "0", "0", "Lynxes") in corrected and {one[0], other[0]} == {"Badgers", "Lynxes"}
