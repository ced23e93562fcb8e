"""Near-duplicates and evaluation questions found in eight scripts: recall and false alarms on planted changes.

Run: python benchmarks/languages.py. It prints the table of docs/conversations.md; the last line is one JSON object.
Nothing here depends on the machine.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[1]))

from camelid.message import Conversation, Message
from camelid.text.decontaminate import Decontaminator
from camelid.text.minhash import NearDuplicates, minhash_signature
from tests.camelid.text.script_texts import SCRIPTS, Script

PAIRS, WORDS, QUESTION = 200, 150, 24
SIMILARITY = 0.8

Words = list[str]


def changed(script: Script, words: Words, count: int, rng: Random) -> Words:
    """The text with that many words in it replaced by others."""
    out = list(words)
    for at in rng.sample(range(len(words)), count):
        out[at] = rng.choice([word for word in script.words if word != words[at]])
    return out


def near_duplicates(script: Script, change: Callable[[Words, Random], Words]) -> float:
    """Share of pairs, a text and its changed form, that are called near-duplicates."""
    rng, found = Random(0), 0
    for _ in range(PAIRS):
        words = script.text(rng, WORDS)
        near = NearDuplicates(SIMILARITY)
        for text in (words, change(words, rng)):
            one = Conversation("x", (Message("user", script.join(text)),))
            found += near.is_near_duplicate(minhash_signature(one))
    return found / PAIRS


def contaminated(script: Script, change: Callable[[Words, Random], Words]) -> float:
    """Share of texts, each made of a question of its own, that are said to contain it."""
    rng, found = Random(0), 0
    for _ in range(PAIRS):
        question = script.text(rng, QUESTION)
        found += Decontaminator([script.join(question)]).match(script.join(change(question, rng))) is not None
    return found / PAIRS


def row(script: Script) -> list[float]:
    """One value for each of `COLUMNS`."""

    def unlike(words: Words, rng: Random) -> Words:
        return script.text(rng, len(words))

    return [
        near_duplicates(script, lambda words, rng: changed(script, words, 1, rng)),
        near_duplicates(script, lambda words, rng: changed(script, words, 2, rng)),
        near_duplicates(script, lambda words, rng: changed(script, words, len(words) // 4, rng)),
        near_duplicates(script, unlike),
        contaminated(script, lambda words, rng: [script.please, *words]),
        contaminated(script, lambda words, rng: [*script.text(rng, 20), *words, *script.text(rng, 20)]),
        contaminated(script, lambda words, rng: changed(script, words, 1, rng)),
        contaminated(script, lambda words, rng: words[:8] + script.text(rng, 30)),
        contaminated(script, lambda words, rng: script.text(rng, 60)),
    ]


COLUMNS = (
    "1 word of 150 changed",
    "2 changed",
    "a quarter changed",
    "another text",
    "question, politely",
    "in a longer text",
    "1 word of 24 changed",
    "same first 8 words",
    "another text",
)


def main() -> None:
    print(f"| | {' | '.join(COLUMNS)} |")
    print("|---|" + "---|" * len(COLUMNS))
    rows = []
    for name, script in SCRIPTS.items():
        rows.append(row(script))
        print(f"| {name} | {' | '.join(f'{share:.1%}' for share in rows[-1])} |", flush=True)
    by_column = list(zip(*rows, strict=True))
    results = []
    for what, columns, worst, bar in (
        ("recall of near-duplicates in the worst of 8 scripts", (0, 1), min, 0.99),
        ("recall of whole questions in the worst of 8 scripts", (4, 5), min, 0.99),
        ("other texts taken for either in the worst of 8 scripts", (2, 3, 8), max, "<= 0.01"),
    ):
        found = worst(worst(by_column[column]) for column in columns)
        met = found <= 0.01 if worst is max else found >= 0.99
        results.append({"what": what, "ours": found, "peer": None, "ratio": None, "bar": bar, "met": met})
    print(json.dumps({"name": "languages", "met": all(result["met"] for result in results), "results": results}))


if __name__ == "__main__":
    main()
