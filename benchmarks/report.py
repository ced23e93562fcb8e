"""How long a report of AlpacaEval's size takes: 57 models on 805 questions, from files to page, and to a page opened.

    python benchmarks/report.py

Bars: `camelid eval report` within 20 seconds, the page usable in Chromium within 2, the best of three.
"""

import json
import random
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from camelid.app.cli import main as camelid
from camelid.files.write import write_jsonl
from eval.judging.judgment import Judgment

MODELS, QUESTIONS, CHARACTERS = 57, 805, 1_500
MAKE, OPEN = 20.0, 2.0  # seconds
WORDS = [f"{first}{middle}{last}" for first in "bdfgklmnprst" for middle in "aeiou" for last in ("n", "r", "st", "ma")]


def write_folder(folder: Path) -> Path:
    """An evaluation in mode `alpaca`, every model against the first; returns the question file."""
    random_ = random.Random(0)
    models = [f"model-{place}" for place in range(MODELS)]
    questions = folder / "questions.jsonl"
    ids = [f"q{place}" for place in range(QUESTIONS)]
    write_jsonl(
        questions,
        ({"id": name, "category": f"part {place % 5}", "text": prose(random_, 200)} for place, name in enumerate(ids)),
    )
    for label in models:
        rows = ({"question_id": name, "model_id": label, "text": prose(random_, CHARACTERS)} for name in ids)
        write_jsonl(folder / "answers" / f"{label}.jsonl", rows)
    judgments = []
    for place, label in enumerate(models[1:], start=1):
        for question in ids:
            won = random_.random() < place / MODELS
            logprobs = {"m": -0.1, "M": -2.3} if won else {"m": -2.3, "M": -0.1}
            pair, tokens = (label, models[0]), (900, 1)
            judgment = Judgment("alpaca", question, 1, pair, "judge", None, "m" if won else "M", baseline=models[0])
            judgments.append(replace(judgment, logprobs=logprobs, tokens=tokens).to_json())
    write_jsonl(folder / "judgments" / "alpaca" / "judge.jsonl", judgments)
    return questions


def prose(random_: random.Random, characters: int) -> str:
    """Words and paragraphs, with a header, a list and bold words in some."""
    start = random_.choice(("", "# Answer\n\n", "- one\n- two\n\n", "**Bold** "))
    count = int(characters * random_.uniform(0.5, 1.5)) // 4
    words = random_.choices(WORDS, k=count)
    return start + "\n\n".join(" ".join(words[at : at + 60]) for at in range(0, count, 60))


def seconds_to_open(page: Path) -> float | None:
    """From opening the file until a question is on the page and the keys work; None without a browser."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    if chromium is None:
        return None
    times = []
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(3):
            tab = browser.new_page()
            start = time.perf_counter()
            tab.goto(page.as_uri())
            tab.wait_for_selector("html[data-ready]", state="attached")
            times.append(time.perf_counter() - start)
            tab.close()
        browser.close()
    return min(times)


def main() -> None:
    """Print the result as JSON."""
    results, skipped = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        questions = write_folder(folder)
        start = time.perf_counter()
        status = camelid(["eval", "report", "--questions", str(questions), "--output", name])
        made = time.perf_counter() - start
        if status:
            raise SystemExit(f"`eval report` ended with status {status}")
        size = (folder / "report.html").stat().st_size
        what = f"seconds to a report of {MODELS} models on {QUESTIONS} questions ({size / 1e6:.0f} MB)"
        results.append({"what": what, "ours": made, "bar": f"<= {MAKE:g}", "met": made <= MAKE})
        opened = seconds_to_open(folder / "report.html")
        if opened is None:
            skipped.append("seconds to open the page: no Chromium, or playwright is not installed")
        else:
            row = {"what": "seconds to open the page", "ours": opened, "bar": f"<= {OPEN:g}", "met": opened <= OPEN}
            results.append(row)
    print(json.dumps({"name": "report", "results": results, "skipped": skipped}))


if __name__ == "__main__":
    main()
