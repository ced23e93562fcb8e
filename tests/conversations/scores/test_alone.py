"""What `conversations score` says of a set without a model, against counts made outright."""

import json
from collections import Counter
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from random import Random

from camelid.app.cli import main
from camelid.files.read import read_jsonl
from camelid.message import Conversation
from tests.conversations.chats import chat

WORDS = (
    "the camel walks over sand and stones while a small bird sings of rain that never comes to this dry land".split()
)


def scores_of(path: str, output: Path, *options: str) -> dict[str, dict[str, float]]:
    """The scores that the command writes, by id."""
    assert main(["conversations", "score", path, "--output", str(output), "--quiet", *options]) == 0
    return {record["id"]: record["meta"]["scores"] for _, record in read_jsonl(output)}


def some_chats(count: int) -> list[Conversation]:
    """Answers of several lengths, some of which repeat themselves."""
    rng = Random(0)
    chats = []
    for number in range(count):
        answer = rng.choices(WORDS, k=rng.randint(1, 40))
        answer = answer * rng.choice([1, 1, 3])
        chats.append(chat(f"c{number}", "Why?", " ".join(answer), "And then?", "Nothing."))
    return chats


def test_length_and_repetition_are_those_counted_outright(data: Callable[..., str], tmp_path: Path) -> None:
    chats = some_chats(60)
    found = scores_of(data(*chats), tmp_path / "out.jsonl")
    for one in chats:
        words = one.messages[1].content.split()
        assert found[one.id]["length"] == len(words) + 1
        runs = [" ".join(words[at : at + 5]) for at in range(len(words) - 4)]
        repeated = sum(runs.index(run) < at for at, run in enumerate(runs))
        assert abs(found[one.id]["repetition"] - (repeated / len(runs) if runs else 0)) < 1e-5
    assert {one["repetition"] > 0.5 for one in found.values()} == {True, False}


def test_near_duplicates_are_counted_by_group(data: Callable[..., str], tmp_path: Path) -> None:
    """Texts of 100 words with one other word, or another text altogether: the groups are those planted."""
    rng = Random(1)
    chats, groups = [], []
    for group, size in enumerate([1, 2, 1, 5, 3, 1]):
        words = [f"w{rng.randrange(9_000)}" for _ in range(100)]
        for _ in range(size):
            changed = list(words)
            changed[rng.randrange(100)] = "other"
            chats.append(chat(f"c{len(chats)}", "Tell me.", " ".join(changed)))
            groups.append(group)
    order = list(range(len(chats)))
    rng.shuffle(order)
    found = scores_of(data(*(chats[place] for place in order)), tmp_path / "out.jsonl")
    for one, group in zip(chats, groups, strict=True):
        assert found[one.id]["near-duplicates"] == Counter(groups)[group]


def test_language_and_chance(data: Callable[..., str], tmp_path: Path) -> None:
    german = "Das Kamel läuft durch die Wüste und sucht ein wenig Wasser, bevor die Sonne wieder untergeht."
    chats = [chat("de", german, german), chat("code", "x=1;y", "z+=2"), *some_chats(200)]
    path = data(*chats)
    found = scores_of(path, tmp_path / "one.jsonl", "--scores", "language", "random")
    again = scores_of(path, tmp_path / "two.jsonl", "--scores", "random", "--seed", "1")
    assert found["de"]["language"] > 0.9 > found["code"]["language"]
    drawn = [one["random"] for one in found.values()]
    assert 0 <= min(drawn) < 0.05 < 0.95 < max(drawn) < 1 and 0.45 < sum(drawn) / len(drawn) < 0.55
    assert [one["random"] for one in again.values()] != drawn
    first = (tmp_path / "one.jsonl").read_bytes()
    scores_of(path, tmp_path / "one.jsonl", "--scores", "language", "random")
    assert (tmp_path / "one.jsonl").read_bytes() == first


def test_what_a_conversation_has_stays(tmp_path: Path) -> None:
    """Scores of others, other things in `meta`, and something else that was called `scores`."""
    path = tmp_path / "data.jsonl"
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello there"}]
    metas = [{"scores": {"mine": 3, "length": 9}, "source": "x"}, {"scores": "high"}, {}]
    lines = [{"id": str(number), "messages": turns, "meta": meta} for number, meta in enumerate(metas)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert main(["conversations", "score", str(path), "--output", str(tmp_path / "o.jsonl"), "--scores", "length"]) == 0
    one, two, three = (record["meta"] for _, record in read_jsonl(tmp_path / "o.jsonl"))
    assert one == {"scores": {"mine": 3, "length": 2.0}, "source": "x"}
    assert two == {"scores": {"length": 2.0}, "scores#2": "high"}
    assert three == {"scores": {"length": 2.0}}


def test_pairs_of_groups_are_as_similar_as_they_should_be() -> None:
    """The planted texts of a group share four fifths of their runs or more; those of two groups none."""
    rng = Random(1)
    words = [f"w{rng.randrange(9_000)}" for _ in range(100)]
    texts = []
    for place in (3, 50, 97):
        changed = list(words)
        changed[place] = "other"
        texts.append({tuple(changed[at : at + 5]) for at in range(96)})
    assert all(len(one & two) / len(one | two) > 0.8 for one, two in combinations(texts, 2))
