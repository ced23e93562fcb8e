"""Conversations larger than memory: compared with every pair's Jaccard similarity, counted with their turns."""

import gzip
import itertools
import json
import pickle
import random
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("datatrove")

from camelid.app.cli import main
from camelid.errors import UserError
from camelid.files.read import read_json
from camelid.files.write import dumps
from camelid.text.dedup_stages import read_documents
from conversations.batch import DROPPED_WHOLE, NEAR_DUPLICATE
from conversations.dedup import CONVERSATIONS

QUESTION = "contains an evaluation question"
WORDS = [first + second for first, second in itertools.product("bdfgklmnprst", ("ab", "en", "ik", "ol", "um", "ar"))]


def chat(name: str, *turns: str, **more: Any) -> dict[str, Any]:
    roles = itertools.cycle(["user", "assistant"])
    messages = [{"role": role, "content": turn} for role, turn in zip(roles, turns, strict=False)]
    return {"id": name, "messages": messages, "meta": {}, **more}


def some_words(count: int, rng: random.Random) -> str:
    return " ".join(rng.choices(WORDS, k=count))


def write(folder: Path, *files: list[dict[str, Any]]) -> Path:
    """The conversations in files, every other one compressed."""
    folder.mkdir(exist_ok=True)
    for number, chats in enumerate(files):
        content = "".join(dumps(one) + "\n" for one in chats).encode()
        name = folder / f"{number}.jsonl"
        if number % 2:
            name.with_suffix(".jsonl.gz").write_bytes(gzip.compress(content))
        else:
            name.write_bytes(content)
    return folder


def run(folder: Path, output: Path, *options: str) -> list[dict[str, Any]]:
    """What is left; that the counts are of it is checked."""
    assert main(["conversations", "dedup", str(folder), "--output", str(output), *options]) == 0
    files = (gzip.decompress(path.read_bytes()).decode() for path in sorted((output / "data").iterdir()))
    left = [json.loads(line) for content in files for line in content.splitlines()]
    conversations, turns = read_json(output / "ledger.json")["ledgers"]
    assert (conversations["unit"], turns["unit"]) == ("conversations", "turns")
    assert conversations["kept"] == len(left) and turns["kept"] == sum(len(one["messages"]) for one in left)
    for counts in (conversations, turns):
        assert counts["read"] == counts["kept"] + sum(counts["dropped"].values())
    return left


def test_duplicates_and_questions_go_and_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = random.Random(0)
    chats = [
        chat(str(number), *(some_words(12, rng) for _ in range(2 + number % 3)), source="ü", weight=None)
        for number in range(30)
    ]
    asked = chats[7]["messages"][0]["content"]
    loud = [{**turn, "content": turn["content"].upper() + "!"} for turn in chats[4]["messages"]]
    copies = [chats[3] | {"id": "copy"}, chats[4] | {"id": "loud", "messages": loud}]
    folder = write(tmp_path / "chats", [*chats[:15], *copies], [*chats[15:], chats[3]])
    (folder / "chats.journal.jsonl").write_text("{}\n")
    questions = tmp_path / "bench.jsonl"
    questions.write_text(json.dumps({"turns": [asked.title()]}) + "\n")
    options = ["--tasks", "2", "--decontaminate", str(questions)]
    left = run(folder, tmp_path / "out", *options)
    assert "not read, for they hold API replies and no records: chats.journal.jsonl\n" in capsys.readouterr().out
    assert len({one["id"] for one in left} & {"3", "copy"}) == 1 == len({one["id"] for one in left} & {"4", "loud"})
    given = {dumps(one) for one in [*chats, *copies]}
    assert all(dumps(one) in given for one in left)  # as they were, with fields of their own
    conversations, turns = read_json(tmp_path / "out" / "ledger.json")["ledgers"]
    assert (conversations["read"], conversations["kept"]) == (33, 29)
    assert conversations["dropped"] == {NEAR_DUPLICATE: 3, QUESTION: 1}
    gone = 2 * len(chats[3]["messages"]) + len(chats[4]["messages"]) + len(chats[7]["messages"])
    assert turns["read"] == sum(len(one["messages"]) for one in [*chats, *copies, chats[3]])
    assert turns["dropped"] == {DROPPED_WHOLE: gone}
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "data").iterdir()}
    assert run(folder, tmp_path / "out", *options) == left
    assert made == {path: path.stat().st_mtime_ns for path in made}  # nothing is done twice
    assert main(["conversations", "dedup", str(folder), "--output", str(tmp_path / "out")]) == 2
    assert "was begun with other options (asked.json)" in capsys.readouterr().err


def test_questions_are_those_that_convert_finds(tmp_path: Path) -> None:
    rng = random.Random(1)
    long = some_words(30, rng)
    chats = [
        chat("stretch", "so " + " ".join(long.split()[8:20]) + " and", some_words(9, rng)),
        chat("less", " ".join(long.split()[:11]), some_words(9, rng)),
        chat("answer", some_words(9, rng), long),  # what the assistant says is no matter
        chat("later", some_words(9, rng), some_words(9, rng), "What is THE capital of France?!", some_words(9, rng)),
    ]
    folder = write(tmp_path / "chats", chats)
    questions = tmp_path / "bench.jsonl"
    questions.write_text(json.dumps({"text": long}) + "\n" + json.dumps({"text": "what is the capital of france"}))
    left = run(folder, tmp_path / "out", "--decontaminate", str(questions))
    assert [one["id"] for one in left] == ["less", "answer"]
    command = ["conversations", "convert", str(folder / "0.jsonl"), "--output", str(tmp_path / "x.jsonl"), "--quiet"]
    assert main([*command, "--decontaminate", str(questions)]) == 0
    assert [json.loads(line)["id"] for line in (tmp_path / "x.jsonl").read_text().splitlines()] == ["less", "answer"]
    assert read_json(tmp_path / "x.ledger.json")["ledgers"][0]["dropped"] == {QUESTION: 2}


def similarities(chats: list[dict[str, Any]]) -> dict[tuple[int, int], float]:
    """The Jaccard similarity of every pair, by sets of five words in a row; the texts have words and spaces alone."""
    sets = []
    for one in chats:
        words = " ".join(turn["content"] for turn in one["messages"]).split()
        sets.append({tuple(words[start : start + 5]) for start in range(len(words) - 4)})
    pairs = itertools.combinations(range(len(chats)), 2)
    return {(a, b): len(sets[a] & sets[b]) / len(sets[a] | sets[b]) for a, b in pairs}


def groups(count: int, pairs: list[tuple[int, int]]) -> list[set[int]]:
    """Who is connected by pairs."""
    member = [{number} for number in range(count)]
    for a, b in pairs:
        if member[a] is not member[b]:
            member[a] |= member[b]
            for number in member[b]:
                member[number] = member[a]
    return [group for number, group in enumerate(member) if number == min(group)]


def test_one_is_left_of_what_every_pair_says_is_the_same(tmp_path: Path) -> None:
    rng = random.Random(2)
    chats = [chat(f"o{number}", some_words(40, rng), some_words(80, rng)) for number in range(40)]
    for number, changes in enumerate([0] * 8 + [1] * 12 + [4] * 12 + [15] * 12 + [40] * 12):
        turns = [turn["content"].split() for turn in chats[number % 40]["messages"]]
        for _ in range(changes):
            turn = rng.choice(turns)
            turn[rng.randrange(len(turn))] = rng.choice(WORDS)
        chats.append(chat(f"c{number}", *map(" ".join, turns)))
    rng.shuffle(chats)
    similar = similarities(chats)
    assert sum(value == 1 for value in similar.values()) >= 8
    assert sum(0.1 < value < 0.7 for value in similar.values()) >= 20  # which may be found or not
    left = {one["id"] for one in run(write(tmp_path / "in", chats[:30], chats[30:50], chats[50:]), tmp_path / "out")}
    # MinHash finds a pair of 0.9 with 1 - (1 - 0.9^8)^14 = 99.96%, and one of 0.2 with 0.004%.
    for group in groups(len(chats), [pair for pair, value in similar.items() if value >= 0.9]):
        assert sum(chats[number]["id"] in left for number in group) <= 1
    for group in groups(len(chats), [pair for pair, value in similar.items() if value > 0.2]):
        assert sum(chats[number]["id"] in left for number in group) >= 1


@pytest.mark.parametrize(
    ("asked", "answered", "other"),
    [
        (
            "请写一首关于春天和夏天的短诗",
            "春风吹过山岗柳树发芽夏日来临荷花满塘孩子们在河边奔跑欢笑声传遍了整个村庄",
            "诗",
        ),
        (
            "東京でおすすめの場所を教えてください",
            "浅草の寺や上野の公園を歩いて夜は新宿で食事をするのが楽しいと思います",
            "街",
        ),
        ("ช่วยแนะนำอาหารไทยหน่อยครับ", "ลองทานต้มยำกุ้งกับข้าวสวยร้อนๆแล้วตามด้วยข้าวเหนียวมะม่วงเป็นของหวานนะครับ", "ก"),
    ],
    ids=["Chinese", "Japanese", "Thai"],
)
def test_without_spaces_between_words(tmp_path: Path, asked: str, answered: str, other: str) -> None:
    shuffled = ["".join(random.Random(seed).sample(answered, len(answered))) for seed in range(2)]
    chats = [
        chat("a", asked, answered),
        chat("b", f"{asked}。", f"{answered}{other}…"),
        chat("c", asked, shuffled[0]),
        chat("d", asked, shuffled[1]),
    ]
    left = {one["id"] for one in run(write(tmp_path / "in", chats), tmp_path / "out")}
    assert len(left) == 3 and {"c", "d"} < left


def test_numbers_count_and_what_is_too_short_to_compare_is_kept(tmp_path: Path) -> None:
    sums = [chat(f"{a}", f"{a} + {a + 1} + {a + 2} + {a + 3} = ?", f"{4 * a + 6}") for a in (10, 20)]
    short = [chat("x", "Hi", "How are you"), chat("y", "Hi", "How are you"), chat("z", "。", "?")]
    left = run(write(tmp_path / "in", [*sums, *short]), tmp_path / "out", "--tasks", "3")
    assert [one["id"] for one in left] == ["10", "20", "x", "y", "z"]


GOOD = dumps(chat("a", "Hi", "Hello")).encode() + b"\n"


@pytest.mark.parametrize(
    ("second", "error"),
    [
        (b'{"id": "b", "messages": [\n', r"x\.jsonl:3: broken JSON at column 26"),
        (b'{"id": "b", "messages": [{"role": "user"}], "meta": {}}\n', r"x\.jsonl:3: messages\[0\]\.content must be"),
        (b'{"id": "b", "messages": [], "meta": {}}\n', r"x\.jsonl:3: field 'messages' must be a non-empty list"),
        (
            b'{"instruction": "a", "output": "b"}\n',
            r"x\.jsonl:3: .* format alpaca; run `camelid conversations convert`",
        ),
        (b'{"messages": [{"role": "user", "content": "a"}]}\n', r"x\.jsonl:3: .* format openai; run"),
        (b'{"txt": "a"}\n', r"x\.jsonl:3: unknown record"),
        (b"[]\n", r"x\.jsonl:3: expected a JSON object, found list"),
        (b"\xff\n", r"x\.jsonl:3: not UTF-8 text"),
        (GOOD.replace(b"{}", b'{"n": NaN}'), r"x\.jsonl:3: cannot be written as JSON: Out of range float"),
    ],
)
def test_a_line_that_is_no_conversation_is_named(tmp_path: Path, second: bytes, error: str) -> None:
    (tmp_path / "x.jsonl").write_bytes(GOOD + b"\n" + second)
    with pytest.raises(UserError, match=error):
        list(read_documents(None, 0, 1, str(tmp_path), CONVERSATIONS))


def test_what_cannot_be_read_ends_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path / "in", [json.loads(GOOD)], [json.loads(GOOD)] * 100)
    command = ["conversations", "dedup", str(folder), "--output", str(tmp_path / "out")]
    with (folder / "0.jsonl").open("a") as file:
        file.write("{\n")
    assert main(command) == 2
    assert f"camelid: error: {folder / '0.jsonl'}:2: broken JSON" in capsys.readouterr().err
    (folder / "0.jsonl").write_bytes(GOOD)
    packed = (folder / "1.jsonl.gz").read_bytes()
    (folder / "1.jsonl.gz").write_bytes(packed[:-20])
    assert main(command) == 2
    assert f"camelid: error: {folder / '1.jsonl.gz'}: broken packed file" in capsys.readouterr().err
    (folder / "1.jsonl.gz").write_bytes(packed)
    assert len(run(folder, tmp_path / "out")) == 101  # too short to be compared; it goes on where it stopped


def test_slurm_gets_one_job_a_stage_and_all_that_a_job_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path / "in", [chat("a", "Hi", "Hello"), chat("b", "Which day is it?", "I don't know")])
    (tmp_path / "bench.jsonl").write_text('{"text": "Which day is it?"}\n')
    (tmp_path / "sbatch").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/log\necho Submitted batch job 7\n')
    (tmp_path / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    command = ["conversations", "dedup", str(folder), "--output", str(tmp_path / "out"), "--executor", "slurm"]
    command += ["--executor-option", "partition=cpu", "--decontaminate", str(tmp_path / "bench.jsonl")]
    assert main(command) == 2 and "add --executor-option time=..." in capsys.readouterr().err
    assert main([*command, "--executor-option", "time=1:00:00"]) == 0
    assert "says what became of the conversations" in capsys.readouterr().out
    assert (tmp_path / "log").read_text().count("--dependency=afterok:7") == 3
    for stage in ("signatures", "pairs", "clusters", "filter"):
        script = (tmp_path / "out" / "logs" / stage / "launch_script.slurm").read_text()
        assert "--partition=cpu" in script and f"--job-name=camelid-{stage}" in script
    job = pickle.loads((tmp_path / "out" / "logs" / "filter" / "executor.pik").read_bytes())
    read, count, duplicates, keep_out, *_ = job.pipeline
    left = list(keep_out.run(duplicates.run(count.run(read(None, 0, 1)))))
    assert [one.id for one in left] == [f"{folder / '0.jsonl'}:1"]
