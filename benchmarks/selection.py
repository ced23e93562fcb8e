"""What each score of `conversations score` finds in a set with known faults, and what it misses.

Run: python benchmarks/selection.py. It prints the tables of docs/selection.md; the last line is one JSON object.

The set is made of the embedded model's tasks, whose answers are computed: 70% good, 6% each of five faults. Each score
drops as many conversations as are bad, the worst ones by it; how many of these are bad is its precision, how many of
each fault are among them its recall. Dropping as many at random is the baseline. Losses are those of a small LLaMA that
is trained here, on other tasks of the same kinds; the judge is the embedded model, which can work every task out: no
judge finds more. Intervals are Wilson's, of 95%.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from scipy.stats import binomtest

sys.path.insert(0, str(Path(__file__).parents[1]))

from camelid.files.read import read_jsonl
from camelid.files.write import write_jsonl
from camelid.models.offline.tasks import FAMILIES, TaskFamily
from conversations.scores.select import Choice, choose, read_bounds

GOOD, EACH, TRAINED, UPDATES = 2100, 180, 3000, 300
FAULTS = ("truncated", "off-topic", "looping", "copied", "wrong")
BAD = EACH * len(FAULTS)
ROOT = Path(__file__).parents[1]
CHECKED = ("arithmetic", "words", "classification", "extraction", "facts")  # tasks with one right answer
# What a score drops: its name, and which end.
ENDS = {
    "random": ("random", "low"),
    "length, shortest": ("length", "low"),
    "length, longest": ("length", "high"),
    "repetition, most": ("repetition", "high"),
    "language, least sure": ("language", "low"),
    "near-duplicates, most": ("near-duplicates", "high"),
    "quality, lowest": ("quality", "low"),
    "complexity, lowest": ("complexity", "low"),
    "deita, lowest": ("deita", "low"),
    "ifd, lowest": ("ifd", "low"),
    "ifd, highest": ("ifd", "high"),
}
# Bounds that one may set: the option, and the fault that it is for.
BOUNDS = {
    "--max-score repetition=0.3": "looping",
    "--max-score near-duplicates=1": "copied",
    "--min-score length=4": "truncated",
    "--max-score ifd=1": "off-topic",
    "--min-score quality=4": "wrong",
}
EXPECTED = (  # what a score is for
    ("repetition", "repetition, most", "looping"),
    ("near-duplicates", "near-duplicates, most", "copied"),
    ("quality", "quality, lowest", "wrong"),
    ("ifd", "ifd, highest", "off-topic"),
)
SHORTEST_CUT = 4  # words of an answer that is cut off
Task = tuple[TaskFamily, str, str]  # what writes it, question, answer


def draw_tasks(
    count: int, rng: Random, taken: set[str], kinds: tuple[str, ...] = tuple(FAMILIES), words: int = 0
) -> list[Task]:
    """Tasks whose questions are new, and whose answers have so many words; `taken` learns them."""
    families = [family for kind in kinds for family in FAMILIES[kind]]
    tasks: list[Task] = []
    while len(tasks) < count:
        family = rng.choice(families)
        instruction, given, answer = family(rng)
        question = f"{instruction}\n\n{given}".strip()
        if question not in taken and len(answer.split()) >= words:
            taken.add(question)
            tasks.append((family, question, answer))
    return tasks


def cut_off(task: Task, rng: Random) -> str:
    """The first third to two thirds of an answer's words."""
    words = task[2].split()
    return " ".join(words[: max(1, round(len(words) * rng.uniform(1 / 3, 2 / 3)))])


def looping(task: Task, rng: Random) -> str:
    """An answer said three to eight times."""
    return " ".join([task[2]] * rng.randint(3, 8))


def another(task: Task, rng: Random) -> str:
    """The answer to a task of another family."""
    others = [family for kind in FAMILIES.values() for family in kind if family is not task[0]]
    return rng.choice(others)(rng)[2]


def wrong(task: Task, rng: Random) -> str:
    """The answer to another task of the same family: the right form, and not right."""
    while True:
        answer = task[0](rng)[2]
        if answer != task[2]:
            return answer


MAKE: dict[str, Callable[[Task, Random], str]] = {
    "truncated": cut_off,
    "off-topic": another,
    "looping": looping,
    "wrong": wrong,
}


def write_mixture(path: Path, rng: Random, taken: set[str]) -> None:
    """The set in random order; `meta.kind` says what each is."""
    records = [(question, answer, "good") for _, question, answer in draw_tasks(GOOD, rng, taken)]
    for fault, make in MAKE.items():
        kinds = CHECKED if fault == "wrong" else tuple(FAMILIES)
        long_enough = 0 if fault != "truncated" else SHORTEST_CUT
        for task in draw_tasks(EACH, rng, taken, kinds, long_enough):
            records.append((task[1], make(task, rng), fault))
    copies = rng.sample(records[:GOOD], EACH)
    records += [(question, f"{answer} Thanks!", "copied") for question, answer, _ in copies]
    rng.shuffle(records)
    write_jsonl(path, (conversation(f"c{place}", *record) for place, record in enumerate(records)))


def conversation(name: str, question: str, answer: str, kind: str) -> dict[str, Any]:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"id": name, "messages": turns, "meta": {"kind": kind}}


def camelid(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "camelid.app.cli", *arguments], check=True, stdout=sys.stderr)


def train(folder: Path, rng: Random, taken: set[str]) -> Path:
    """A small model that has learned from good answers to other tasks."""
    data, untrained = folder / "good.jsonl", folder / "untrained"
    tasks = draw_tasks(TRAINED, rng, taken)
    write_jsonl(data, (conversation(f"t{place}", task[1], task[2], "good") for place, task in enumerate(tasks)))
    shape = str(ROOT / "recipes" / "models" / "tiny.yaml")
    camelid("weights", "new", shape, str(untrained), "--data", str(data), "--template", "vicuna_v1.1")
    camelid(
        "finetune",
        str(ROOT / "recipes" / "smoke.yaml"),
        f"model.path={untrained}",
        f"data.train=[{{path: {data}}}]",
        f"optim.updates={UPDATES}",
        f"run.output={folder / 'tuned'}",
    )
    return folder / "tuned" / "model"


def dropped(records: list[dict[str, Any]], name: str, end: str, count: int = BAD) -> list[str]:
    """The kinds of so many conversations at an end of a score; of equal ones, the first in the (random) order."""
    sign = 1 if end == "low" else -1
    return [one["meta"]["kind"] for one in sorted(records, key=lambda one: sign * one["meta"]["scores"][name])[:count]]


def bound_row(records: list[dict[str, Any]], option: str, fault: str) -> str:
    """What a bound drops, beside a random choice of as many."""
    kind, text = option.split()
    choice = Choice(read_bounds([text], []) if kind == "--min-score" else read_bounds([], [text]))
    columns = {name: [one["meta"]["scores"].get(name) for one in records] for name in ("random", *choice.names)}
    stays, _ = choose(choice, columns, len(records))
    gone = [records[place]["meta"]["kind"] for place in sorted(set(range(len(records))) - set(stays))]
    by_chance = dropped(records, "random", "low", len(gone))
    cells = [f"{len(gone):,}"]
    for kinds in (gone, by_chance):
        cells += [share(sum(kind != "good" for kind in kinds), len(kinds)), share(kinds.count(fault), EACH)]
    return f"| `{option}` | {fault} | {' | '.join(cells)} |"


def share(count: int, of: int) -> str:
    """A share in percent with its interval."""
    interval = binomtest(count, of).proportion_ci(0.95, method="wilson")
    return f"{100 * count / of:.0f} ({100 * interval.low:.0f}-{100 * interval.high:.0f})"


def main() -> None:
    """Print the tables."""
    with tempfile.TemporaryDirectory() as name:
        folder, rng, taken = Path(name), Random(0), set[str]()
        mixture, scored = folder / "mixture.jsonl", folder / "scored.jsonl"
        write_mixture(mixture, rng, taken)
        model = train(folder, rng, taken)
        names = list(dict.fromkeys(score for score, _ in ENDS.values()))
        command = ["conversations", "score", str(mixture), "--output", str(scored), "--scores", *names]
        camelid(*command, "--loss-model", str(model), "--model", "offline", "--quiet")
        records = [record for _, record in read_jsonl(scored)]
    found = {label: dropped(records, *end) for label, end in ENDS.items()}
    print(f"| dropped by | bad, of the dropped | {' | '.join(FAULTS)} | good, of the kept |")
    print("|---|---|" + "---|" * (len(FAULTS) + 1))
    for label, kinds in found.items():
        bad = sum(kind != "good" for kind in kinds)
        cells = [share(bad, BAD), *(share(kinds.count(fault), EACH) for fault in FAULTS)]
        print(f"| {label} | {' | '.join(cells)} | {share(GOOD - (BAD - bad), GOOD)} |")
    print("\n| option | for | drops | bad, of these | found | bad, of as many at random | found |")
    print("|---|---|---|---|---|---|---|")
    for option, fault in BOUNDS.items():
        print(bound_row(records, option, fault))
    results = []
    for score, label, fault in EXPECTED:
        recall, by_chance = (found[row].count(fault) / EACH for row in (label, "random"))
        ratio = recall / by_chance
        what = f"share of the {fault} found by {score} (peer: by chance)"
        row = {"what": what, "ours": recall, "peer": by_chance, "ratio": ratio, "bar": "> 2", "met": ratio > 2}
        results.append(row)
    print(json.dumps({"name": "selection", "results": results}))


if __name__ == "__main__":
    main()
