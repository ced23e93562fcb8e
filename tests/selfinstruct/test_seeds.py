"""Seed files: ours, the published one, and broken ones. Our answers are checked where a machine can tell."""

import datetime
import json
import os
import re
import shutil
import sqlite3
import statistics
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from rouge_score.rouge_scorer import RougeScorer

from camelid.errors import UserError
from selfinstruct.keep.rules import read_rules
from selfinstruct.keep.selection import Selection
from selfinstruct.seeds import KINDS, MORE, OWN, read_seeds

RECORDS = [json.loads(line) for line in OWN.read_text(encoding="utf-8").splitlines()]
IN = {record["name"]: record["instances"][0]["input"] for record in RECORDS}
OUT = {record["name"]: record["instances"][0]["output"] for record in RECORDS}


@pytest.mark.skipif("CAMELID_REAL_DATA" not in os.environ, reason="CAMELID_REAL_DATA is not set")
def test_the_published_seeds_load_unchanged() -> None:
    seeds = read_seeds(Path(os.environ["CAMELID_REAL_DATA"]) / "selfinstruct" / "seed_tasks.jsonl")
    assert len(seeds) == 175
    assert sum(not seed.input for seed in seeds) == 50


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"instruction": "a", "instances": [{"input": "", "output": 3}]}', "'output' must be a string, found 3"),
        ('{"instances": [{"input": "", "output": "x"}]}', "'instruction' must be a string"),
        ('{"instruction": "a"}', "field 'instances' must be a list"),
        ('{"instruction": "a", "instances": [{"input": "", "output": "x"}]}', "at least 3 are needed"),
    ],
)
def test_broken_seeds(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "seeds.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(UserError, match=message):
        read_seeds(path)


def test_our_own_seeds_are_whole_and_distinct() -> None:
    seeds = read_seeds(OWN)
    assert all(seed.instruction.strip() and seed.output.strip() for seed in seeds)
    assert len({seed.instruction for seed in seeds}) == len(seeds)


def run(code: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(code, names)
    return names


def numbers(text: str) -> list[float]:
    return [float(number.replace(",", "")) for number in re.findall(r"\d[\d,]*(?:\.\d+)?", text)]


def words(text: str) -> list[str]:
    return re.findall(r"[\w'-]+", text.lower())


def rows(database: str, query: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(":memory:")
    connection.executescript(database)
    return connection.execute(query).fetchall()


def test_the_published_shape() -> None:
    assert [record["id"] for record in RECORDS] == [f"seed_task_{index}" for index in range(175)]
    assert all(
        list(record) == ["id", "name", "instruction", "instances", "is_classification"]
        and [list(instance) for instance in record["instances"]] == [["input", "output"]]
        for record in RECORDS
    )
    assert sum(record["is_classification"] for record in RECORDS) == 26
    assert sum(not text for text in IN.values()) == 50
    assert len(IN) == 175


def test_every_seed_passes_the_filters_and_fits_the_prompt() -> None:
    selection = Selection([], read_rules())
    assert {selection.reason_to_drop(task) for task in read_seeds()} == {None}
    assert not [name for name in IN if "###" in IN[name] + OUT[name]]  # the prompt's separator


def test_no_two_instructions_are_alike() -> None:
    scorer = RougeScorer(["rougeL"])
    instructions = [record["instruction"] for record in RECORDS]
    for index, text in enumerate(instructions):
        for other in instructions[:index]:
            assert scorer.score(other, text)["rougeL"].fmeasure < 0.5, (other, text)


@pytest.mark.parametrize("record", [r for r in RECORDS if r["is_classification"]], ids=lambda r: r["name"])
def test_a_classification_has_a_short_label(record: dict[str, Any]) -> None:
    label = record["instances"][0]["output"]
    assert len(label.split()) <= 2
    assert record["name"] == "language_id" or label.lower() in record["instruction"].lower()


def test_python_answers_do_what_they_say() -> None:
    assert run(OUT["python_vowels"])["count_vowels"]("Übung macht den MEISTER") == 6
    assert run(OUT["java_to_python"])["count_long"](["a", "abc", "abcd"], 2) == 2
    assert run(OUT["type_hints"])["longest"](["a", "abc"], 2) == ["abc"]
    assert run(IN["name_this_function"])["f"]([3, 1, 2], [2, 3]) == [2, 3]
    fixed = run(OUT["mutable_default"][OUT["mutable_default"].index("def add") :])["add"]
    assert (fixed("tea"), fixed("milk")) == (["tea"], ["milk"])
    tests = run(f"{IN['three_tests']}\n{OUT['three_tests']}")
    for name in [name for name in tests if name.startswith("test_")]:
        tests[name]()


def test_printed_output_is_predicted(capsys: pytest.CaptureFixture[str]) -> None:
    run(IN["predict_output"])
    assert f"It prints {capsys.readouterr().out.strip()}." in OUT["predict_output"]


def test_sql_answers() -> None:
    orders = "CREATE TABLE orders(customer_id, amount); INSERT INTO orders VALUES (1,5),(2,9),(1,6),(3,1),(4,3);"
    assert rows(orders, OUT["sql_top_customers"]) == [(1, 11), (2, 9), (4, 3)]
    library = (
        "CREATE TABLE members(id, name); CREATE TABLE loans(member_id, book_id, day);"
        "INSERT INTO members VALUES (1,'A'),(2,'B'); INSERT INTO loans VALUES (1,7,'x');"
    )
    assert rows(library, OUT["members_without_loans"]) == [("B",)]
    with pytest.raises(sqlite3.IntegrityError):
        rows(OUT["create_table"], "INSERT INTO plants(name, price) VALUES ('fern', -1)")


def test_data_answers() -> None:
    assert json.loads(OUT["csv_to_json"]) == [{"name": "Lena", "age": 31}, {"name": "Omar", "age": 28}]
    assert json.loads(OUT["invoice_to_json"])["total"] == 348.5
    assert yaml.safe_load(OUT["toml_to_yaml"]) == {
        "title": "greenhouse",
        "pump": {"pin": 7, "active": True},
        "limits": {"moisture": [30, 60]},
    }
    assert json.loads(IN["nested_json"])["guests"][1]["contact"]["phone"] == OUT["nested_json"]
    with pytest.raises(json.JSONDecodeError):
        json.loads(IN["valid_json"])
    head, *museums = IN["sort_and_filter_csv"].splitlines()
    kept = sorted((line for line in museums if numbers(line)[0] >= 100), key=lambda line: -numbers(line)[0])
    assert OUT["sort_and_filter_csv"].splitlines() == [head, *kept]
    assert [str(datetime.date.fromisoformat(day)) for day in OUT["iso_dates"].splitlines()] == OUT["iso_dates"].split()
    hours = re.findall(r"^(\d\d):\d\d ERROR", IN["log_errors_per_hour"], re.MULTILINE)
    assert OUT["log_errors_per_hour"] == "\n".join(f"{hour}: {hours.count(hour)}" for hour in sorted(set(hours)))


def test_patterns() -> None:
    times = [f"{hour:02}:{minute:02}" for hour in range(100) for minute in range(100)]
    assert sum(bool(re.match(OUT["regex_time"], time)) for time in times) == 24 * 60
    examples = re.findall(r"[A-Z]{2}-\d+", OUT["regex_in_words"])
    assert len(examples) == 2 and all(re.match(IN["regex_in_words"], example) for example in examples)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("average_speed", (18 + 24) / (1 + 1.5)),
        ("compound_interest", round(2000 * 1.03**2 - 2000 * 1.06, 2)),
        ("compound_interest", round(2000 * 1.03**2, 2)),
        ("marble_probability", round(100 * 4 / 10 * 3 / 9, 1)),
        ("median_of_list", statistics.median([7, 3, 12, 9, 4, 15])),
        ("two_discounts", 150 * 0.8 * 0.9),
        ("two_discounts", 100 - 80 * 0.9),
        ("check_invoice", round(3 * 7.5 + 12 * 0.85 + 2 * 13.4, 2)),
        ("electricity_tariffs", round(12 * 9 + 2400 * 0.30, 2)),
        ("electricity_tariffs", round(12 * 14 + 2400 * 0.27, 2)),
        ("sum_the_amounts", round(sum([6.4, 2.8, 2.8, 19, 3]), 2)),
        ("table_question", max(820 + 410, 790 + 520, 905 + 395)),
        ("holiday_settlement", (210 + 60 + 90) / 3),
        ("roman_numeral", 1000 + (1000 - 100) + (50 - 10) + (5 - 1)),
        ("count_letter", IN["count_letter"].lower().count("e")),
    ],
)
def test_computed_numbers(name: str, value: float) -> None:
    assert value in numbers(OUT[name])


def test_calendar_and_number_answers() -> None:
    year = next(year for year in range(2000, 2020) if datetime.date(year, 6, 1).strftime("%A") == "Wednesday")
    assert datetime.date(year, 6, 20).strftime("%A") in OUT["weekday_arithmetic"]
    assert numbers(OUT["primes_forties_fifties"]) == [n for n in range(40, 60) if all(n % d for d in range(2, n))]
    assert OUT["binary_and_hex"] == f"Binary: {202:b}\nHexadecimal: {202:X}"
    assert sum(int(minutes) for minutes in re.findall(r"(\d+) minutes", OUT["kickoff_agenda"])) == 30


def test_propane_burns_to_as_many_atoms() -> None:
    def atoms(side: str) -> Counter[str]:
        count: Counter[str] = Counter()
        for times, molecule in re.findall(r"(\d+ )?([A-Z]\w*)", side):
            for atom, index in re.findall(r"([A-Z])(\d*)", molecule):
                count[atom] += int(times or 1) * int(index or 1)
        return count

    before, after = OUT["balance_propane"].split("->")
    assert atoms(before) == atoms(after) == {"C": 3, "H": 8, "O": 10}


def test_letters_are_shifted_and_chords_transposed() -> None:
    assert "".join(chr((ord(c) - 68) % 26 + 65) if c != " " else c for c in IN["caesar_cipher"]) == OUT["caesar_cipher"]
    notes = "C C# D D# E F F# G G# A A# B".split()
    up = [re.sub(r"[A-G]#?", lambda m: notes[(notes.index(m[0]) + 2) % 12], c) for c in IN["transpose_chords"].split()]
    assert up == OUT["transpose_chords"].split()


def test_limits_of_form_are_kept() -> None:
    assert len(words(OUT["ten_word_sea"])) == len(set(words(OUT["ten_word_sea"]))) == 10
    assert [line[0] for line in OUT["lantern_acrostic"].splitlines()] == list("LANTERN")
    assert "".join(word[0] for word in OUT["planet_mnemonic"].split(".")[0].split()).lower() == "mvemjsun"
    assert len(re.findall(r"[.!?]”?\"?(?=\s[A-Z\"]|$)", OUT["snail_fable"])) == 5
    assert len(words(OUT["rosetta_stone"])) < 80
    assert len(words(OUT["reed_beds_summary"])) <= 30
    assert len(words(OUT["goat_headline"])) <= 8
    assert len(words(OUT["museum_label"])) <= 40
    assert len(OUT["commit_message"].splitlines()[0]) <= 60
    asked = [int(letters) for letters in re.findall(r"\((\d)\)", IN["crossword"])]
    assert [len(word) for word in re.findall(r"[A-Z]+", OUT["crossword"])] == asked
    assert sorted(OUT["omelette_steps"].split(", ")) == list("abcdef")
    years = [int(line[-4:]) for line in OUT["events_in_order"].splitlines()]
    assert years == sorted(years) == [1215, 1492, 1789, 1918, 1969]


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_javascript_waits_until_typing_stops() -> None:
    code = OUT["js_debounce"].split("\n\n")[0]
    code += "\nconst f = debounce(console.log, 20); f(1); f(2); setTimeout(() => f(3), 5);"
    assert subprocess.run(["node", "-e", code], capture_output=True, text=True, check=True).stdout == "3\n"
    loop = OUT["js_off_by_one"].split("\n\n")[0]
    done = subprocess.run(["node", "-e", loop], capture_output=True, text=True, check=True)
    assert done.stdout == "Mon\nTue\nWed\n"


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_c_reverses_in_place(tmp_path: Path) -> None:
    main = (
        "#include <stdio.h>\nint main(int n, char **a) { for (int i = 1; i < n; i++) { reverse(a[i]); puts(a[i]); } }"
    )
    (tmp_path / "reverse.c").write_text(f"{OUT['c_reverse']}\n{main}\n")
    subprocess.run(["gcc", "-Wall", "-Werror", "-o", "reverse", "reverse.c"], cwd=tmp_path, check=True)
    done = subprocess.run([tmp_path / "reverse", "", "a", "ab", "abc"], capture_output=True, text=True, check=True)
    assert done.stdout == "\na\nba\ncba\n"


def test_git_moves_the_commit(tmp_path: Path) -> None:
    git = "git -c user.name=t -c user.email=t@example.org -c commit.gpgsign=false"
    script = f"git init -q -b main . && {git} commit -q --allow-empty -m one && {git} commit -q --allow-empty -m two"
    moves = OUT["git_wrong_branch"].split("\n\n")[0].replace("\n", " && ")
    report = "git log -1 --format=%s main && git log -1 --format=%s fix-login && git branch --show-current"
    command = f"({script} && {moves}) >/dev/null 2>&1 && {report}"
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["one", "two", "fix-login"]


def test_grep_counts_lines(tmp_path: Path) -> None:
    (tmp_path / "app.log").write_text("error error\nerrors\nan error\nfine\n")
    assert subprocess.check_output(OUT["shell_count"].split(), cwd=tmp_path) == b"2\n"


MORE_RECORDS = [json.loads(line) for line in MORE.read_text(encoding="utf-8").splitlines()]
MORE_OUT = {record["name"]: record["instances"][0]["output"] for record in MORE_RECORDS}


def test_further_seeds_are_marked_and_off_by_default() -> None:
    assert len(read_seeds()) == 175 and {record["kind"] for record in MORE_RECORDS} == set(KINDS)
    for kind in KINDS:
        added = read_seeds(OWN, [kind])[175:]
        assert [task.instruction for task in added] == [r["instruction"] for r in MORE_RECORDS if r["kind"] == kind]
        assert len(added) >= 5
    assert {Selection([], read_rules()).reason_to_drop(task) for task in read_seeds(OWN, KINDS)} == {None}
    long = [len(record["instances"][0]["output"].split()) for record in MORE_RECORDS if record["kind"] == "long-form"]
    assert min(long) >= 200
    turns = [record["instances"][0]["input"] for record in MORE_RECORDS if record["kind"] == "multi-turn"]
    assert all(len(re.findall(r"^User: ", text, re.MULTILINE)) >= 2 for text in turns)
    assert not [name for name in MORE_OUT if "\n###\n" in MORE_OUT[name]]


def test_results_of_the_reasoning_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    assert f"Result: {300 / (80 + 70) * 120:g} km" in MORE_OUT["reasoning_trains"]
    labels = {place: [place == "red", place != "blue", place != "red"] for place in ("red", "blue", "green")}
    [place] = [place for place, true in labels.items() if sum(true) == 1]
    assert f"Result: the {place} box" in MORE_OUT["reasoning_boxes"]
    one, other = 240 * 0.8 * 0.9, 240 * 0.75 + 5
    assert one < other and f"Result: shop A is cheaper, by {other - one:.2f} euros" in MORE_OUT["reasoning_discount"]
    run(next(r["instances"][0]["input"] for r in MORE_RECORDS if r["name"] == "reasoning_code_trace"))
    assert f"Result: {capsys.readouterr().out.strip()}" in MORE_OUT["reasoning_code_trace"]
    colours = Counter((x + y) % 2 for x in range(6) for y in range(6) if (x, y) not in ((0, 0), (5, 5)))
    assert sorted(colours.values()) == [16, 18] and "18 squares of one colour and 16" in MORE_OUT["reasoning_parity"]
