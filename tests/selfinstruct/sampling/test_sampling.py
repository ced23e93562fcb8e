"""`camelid selfinstruct sample|ghost|distill`: what is asked, what is kept, and that nothing is paid for twice."""

import json
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from camelid.app.cli import main
from camelid.files.read import file_hash, read_json
from camelid.files.write import write_jsonl
from conversations.candidates import Candidates, read_candidates
from conversations.prompts import read_prompts
from selfinstruct.sampling.ghost import read_constraints
from tests.chatml_folder import save_chatml_folder
from tests.fake_openai import FakeOpenAI

ROOT = Path(__file__).parents[3]
CHAT = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "Name a colour."},
    {"role": "assistant", "content": "Red."},
    {"role": "user", "content": "Another?"},
]


def say(body: dict[str, Any]) -> str:
    """A text that tells request from request."""
    return f"{body['messages'][-1]['content'][-20:]} {body.get('seed')} {body['temperature']}"


def run(server: FakeOpenAI, verb: str, source: Path, output: Path, *more: object, status: int = 0) -> list[Candidates]:
    line = ["selfinstruct", verb, source, "--model", "fake", "--base-url", server.url, "--output", output, "--quiet"]
    assert main([*map(str, line), *map(str, more)]) == status
    return list(read_candidates(output))


def prompts(path: Path, count: int = 3) -> Path:
    records = ({"id": f"p{at}", "prompt": [{"role": "user", "content": f"Question {at}?"}], "meta": {"is_safety": True}}
               for at in range(count))  # fmt: skip
    write_jsonl(path, records)
    return path


def test_every_prompt_gets_its_answers(tmp_path: Path) -> None:
    with FakeOpenAI(say) as server:
        made = run(server, "sample", prompts(tmp_path / "p.jsonl"), tmp_path / "c.jsonl", "--answers", 4,
                   "--temperatures", 0.7, 1.2)  # fmt: skip
        assert len(server.requests) == 12 and len({body["seed"] for body in server.requests}) == 12
    assert [one.id for one in made] == ["p0", "p1", "p2"] and made[1].meta == {"is_safety": True}
    assert [answer.temperature for answer in made[0].answers] == [0.7, 1.2, 0.7, 1.2]
    assert all(answer.content.startswith("Question 1?") and answer.model == "fake" for answer in made[1].answers)
    assert len({answer.content for answer in made[1].answers}) == 4
    facts = read_json(tmp_path / "c.ledger.json")
    assert facts["complete"] and [one["kept"] for one in facts["ledgers"]] == [3, 12]


def test_one_temperature_may_be_given_as_everywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = prompts(tmp_path / "p.jsonl", 1)
    with FakeOpenAI(say) as server:
        [made] = run(server, "sample", source, tmp_path / "c.jsonl", "--temperature", 1.3)
        assert {answer.temperature for answer in made.answers} == {1.3}
        assert {body["temperature"] for body in server.requests} == {1.3}
        given = ["selfinstruct", "sample", str(source), "--output", str(tmp_path / "d.jsonl"), "--temperature", "1"]
        assert main([*given, "--temperatures", "1"]) == 2
        assert "--temperature, --temperatures: give one of them" in capsys.readouterr().err


def test_failures_and_cut_answers_are_counted(tmp_path: Path) -> None:
    def respond(body: dict[str, Any]) -> tuple[int, dict[str, str], bytes] | None:
        asked = body["messages"][-1]["content"]
        if asked == "Question 1?":
            error = {"error": {"message": "too long", "type": "invalid_request_error"}}
            return 400, {}, json.dumps(error).encode()
        if asked == "Question 2?":
            choice = {"index": 0, "message": {"role": "assistant", "content": "cut"}, "finish_reason": "length"}
            return 200, {}, json.dumps({"model": "fake", "choices": [choice]}).encode()
        return None

    with FakeOpenAI(say, respond=respond) as server:
        made = run(server, "sample", prompts(tmp_path / "p.jsonl"), tmp_path / "c.jsonl", "--answers", 2)
    assert [one.id for one in made] == ["p0", "p2"] and made[1].answers[0].truncated
    asked, answered = read_json(tmp_path / "c.ledger.json")["ledgers"]
    assert asked["dropped"] == {"no answer": 1} and answered["dropped"] == {"no answer: bad_request": 2}
    assert answered["noted"] == {"cut off by max_tokens": 2}
    (tmp_path / "c.jsonl").unlink()
    with FakeOpenAI(say) as server:  # a failure that the run went on without is not asked again
        assert run(server, "sample", tmp_path / "p.jsonl", tmp_path / "c.jsonl", "--answers", 2) == made
        assert not server.requests


def test_a_run_goes_on_and_longer_and_pays_for_nothing_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, output = prompts(tmp_path / "p.jsonl", 8), tmp_path / "c.jsonl"
    with FakeOpenAI(say) as server:
        run(server, "sample", source, tmp_path / "straight.jsonl", "--answers", 3)
        assert len(run(server, "sample", source, output, "--max-requests", 10, "--answers", 3, status=1)) == 3
        assert "stopped with 3 prompts: budget" in capsys.readouterr().err
        run(server, "sample", source, output, "--answers", 3)
        assert output.read_bytes() == (tmp_path / "straight.jsonl").read_bytes()
        assert max(server.good_replies.values()) == 2 and len(server.requests) == 48
        run(server, "sample", source, output, "--answers", 3)
        assert "already made" in capsys.readouterr().out
        longer = run(server, "sample", source, output, "--answers", 5)
        assert len(server.requests) == 64 and [len(one.answers) for one in longer] == [5] * 8
        other = prompts(tmp_path / "q.jsonl", 2)
        line = ["selfinstruct", "sample", other, "--model", "fake", "--base-url", server.url, "--output", output]
        assert main([*map(str, line), "--answers", "5"]) == 2
        assert "made by another run (prompts" in capsys.readouterr().err


@pytest.mark.slow
def test_killed_at_random_nothing_answered_is_sent_again_and_the_file_is_the_same(tmp_path: Path) -> None:
    source, rng = prompts(tmp_path / "p.jsonl", 60), random.Random(0)
    killed, straight = tmp_path / "killed.jsonl", tmp_path / "straight.jsonl"

    def command(server: FakeOpenAI, output: Path) -> list[str]:
        line = ["selfinstruct", "sample", source, "--model", "fake", "--base-url", server.url, "--output", output,
                "--quiet", "--answers", 8, "--concurrency", 4]  # fmt: skip
        start = "import sys; from camelid.app.cli import main; sys.exit(main(sys.argv[1:]))"
        return [sys.executable, "-c", start, *map(str, line)]

    def journaled() -> int:
        journal = tmp_path / "killed.journal.jsonl"
        return journal.read_bytes().count(b"\n") if journal.exists() else 0

    with FakeOpenAI(say, latency=0.02) as server:
        subprocess.run(command(server, straight), check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
        server.good_replies.clear()
        asked = len(server.requests)
        for _ in range(6):
            until = journaled() + rng.randint(3, 60)
            process = subprocess.Popen(command(server, killed), cwd=ROOT, stdout=subprocess.DEVNULL)
            while journaled() < until:
                assert process.poll() is None, "finished before it could be killed"
                time.sleep(0.002)
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert not killed.exists()
        subprocess.run(command(server, killed), check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
        again = sum(count - 1 for count in server.good_replies.values())
        assert again <= 6 * 4, "more than what was in flight is paid for twice"
        assert len(server.good_replies) == 480 and len(server.requests) - asked == 480 + again
    assert file_hash(killed) == file_hash(straight)


@pytest.mark.slow
def test_a_choice_killed_at_random_is_the_same(tmp_path: Path) -> None:
    rng = random.Random(0)
    for name in ("new", "old"):
        write_jsonl(tmp_path / f"{name}.jsonl", (
            {"id": f"p{at}", "prompt": [{"role": "user", "content": f"Question {at}?"}], "answers": [
                {"content": f"{name} {at} {k}", "finish_reason": "stop", "scores": {"helpful": rng.gauss(0, 1)}}
                for k in range(8)]} for at in range(3000)))  # fmt: skip

    def command(output: Path) -> list[str]:
        start = "import sys; from camelid.app.cli import main; sys.exit(main(sys.argv[1:]))"
        rounds = [tmp_path / "new.jsonl", tmp_path / "old.jsonl"]
        line = ["selfinstruct", "select", *rounds, "--by", "helpful", "--output", output]
        return [sys.executable, "-c", start, *map(str, line)]

    began = time.monotonic()
    subprocess.run(command(tmp_path / "straight.jsonl"), check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    taken = time.monotonic() - began
    for _ in range(8):
        process = subprocess.Popen(command(tmp_path / "killed.jsonl"), cwd=ROOT, stdout=subprocess.DEVNULL)
        time.sleep(rng.random() * taken)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command(tmp_path / "killed.jsonl"), check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    assert (tmp_path / "killed.jsonl").read_bytes() == (tmp_path / "straight.jsonl").read_bytes()


def test_a_ghost_is_asked_at_every_turn_and_trained_at_the_first(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "chats.jsonl", [{"id": f"c{at}", "messages": CHAT} for at in range(40)])
    with FakeOpenAI(say) as server:
        made = run(server, "ghost", tmp_path / "chats.jsonl", tmp_path / "g.jsonl", "--answers", 1, "--keep-answers")
        asked = {body["messages"][-1]["content"]: body["messages"] for body in server.requests}
        assert len(server.requests) == 40
    short = 0
    for one in made:
        instruction = one.meta["instruction"]
        sent = asked[f"{instruction}\n\nAnother?"]
        assert [turn["content"] for turn in sent] == [
            f"{instruction}\n\nHi", "Hello.", f"{instruction}\n\nName a colour.", "Red.", f"{instruction}\n\nAnother?",
        ]  # fmt: skip
        first, *rest = (turn.content for turn in one.prompt)
        assert rest == ["Hello.", "Name a colour.", "Red.", "Another?"]
        assert [turn.weight for turn in one.prompt] == [None, 0, None, 0, None]
        trained = first.removesuffix("\n\nHi")
        assert trained == instruction or re.fullmatch(r"(?:(?:Hobby|Language|Figure): [^.]+\. ?)+", trained)
        short += trained != instruction
    assert 10 <= short <= 30, "about half are shortened"
    kinds = Counter(
        sum(text in one.meta["instruction"] for text in ("you love", "answer in", "act as")) for one in made
    )
    assert set(kinds) == {1, 2, 3}, "constraints are combined at random"


def test_earlier_answers_of_a_ghost_are_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_jsonl(
        tmp_path / "chats.jsonl", [{"id": f"c{at}", "messages": CHAT[:length]} for at, length in enumerate((5, 1, 3))]
    )
    line = (tmp_path / "chats.jsonl", tmp_path / "g.jsonl", "--answers", 2)
    with FakeOpenAI(lambda body: f"say {len(body['messages'])} {body['messages'][-1]['content'][-7:]}") as server:
        made = run(server, "ghost", *line)
        assert len(server.requests) == 3 + 3 * 2, "one for each earlier answer, two for each last one"
        assert all(body["messages"][0]["content"].endswith("\n\nHi") for body in server.requests)
    assert [[turn.content for turn in one.prompt if turn.role == "assistant"] for one in made] == [
        ["say 1 " + made[0].meta["instruction"][-3:] + "\n\nHi", "say 3 colour."], [],
        ["say 1 " + made[2].meta["instruction"][-3:] + "\n\nHi"],
    ]  # fmt: skip
    assert all(turn.weight == 0 for one in made for turn in one.prompt if turn.role == "assistant")
    assert [answer.content for answer in made[0].answers] == ["say 5 nother?"] * 2
    assert "read 3 earlier answers: kept 3" in capsys.readouterr().out
    before = (tmp_path / "g.jsonl").read_bytes()
    (tmp_path / "g.jsonl").unlink()
    with FakeOpenAI(say) as server:  # the journal answers all of it
        run(server, "ghost", *line)
        assert not server.requests
    assert (tmp_path / "g.jsonl").read_bytes() == before


def test_a_ghost_without_an_earlier_answer_is_counted(tmp_path: Path) -> None:
    def respond(body: dict[str, Any]) -> tuple[int, dict[str, str], bytes] | None:
        if "Name a colour." in body["messages"][-1]["content"]:
            return 400, {}, json.dumps({"error": {"message": "no", "type": "invalid_request_error"}}).encode()
        return None

    write_jsonl(tmp_path / "chats.jsonl", [{"id": "a", "messages": CHAT}, {"id": "b", "messages": CHAT[:1]}])
    with FakeOpenAI(say, respond=respond) as server:
        made = run(server, "ghost", tmp_path / "chats.jsonl", tmp_path / "g.jsonl", "--answers", 1)
    assert [one.id for one in made] == ["b"]
    earlier, asked, _ = read_json(tmp_path / "g.ledger.json")["ledgers"]
    assert earlier["dropped"] == {"no answer: bad_request": 1} and asked["dropped"] == {
        "no answer to an earlier turn": 1
    }


def test_the_last_answer_of_a_ghost_alone_is_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What `conversations show` prints, which is what training sees."""
    write_jsonl(tmp_path / "chats.jsonl", [{"id": "c", "messages": CHAT}])
    with FakeOpenAI(lambda body: "As Napoleon: blue!") as server:
        run(server, "ghost", tmp_path / "chats.jsonl", tmp_path / "g.jsonl", "--answers", 1)
    output = tmp_path / "sft.jsonl"
    assert main(["selfinstruct", "select", str(tmp_path / "g.jsonl"), "--by", "first", "--output", str(output)]) == 0
    save_chatml_folder(tmp_path / "words")
    capsys.readouterr()
    shown = ["conversations", "show", str(output), "--template", "chatml", "--tokenizer", str(tmp_path / "words")]
    assert main(shown) == 0
    runs = re.findall(r"^ +([01](?: \+)?) +(.*(?:\n {7}.*)*)", capsys.readouterr().out, flags=re.MULTILINE)
    trained = "".join(text for weight, text in runs if "+" in weight)
    assert re.sub(r"\n {7}", "", trained).replace("│", "") == "As Napoleon: blue!<|im_end|>"


def test_constraints_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_jsonl(tmp_path / "chats.jsonl", [{"id": "c", "messages": CHAT}])
    own = tmp_path / "own.yaml"
    kind = "{name: style, long: 'Say {choice} only.', short: 'Style: {choice}.', choices: [zip]}"
    own.write_text(f"constraints:\n  - {kind}\n")
    with FakeOpenAI(say) as server:
        [made] = run(server, "ghost", tmp_path / "chats.jsonl", tmp_path / "g.jsonl", "--constraints", own)
    assert made.meta["instruction"] == "Say zip only."
    own.write_text(own.read_text().replace("{choice}.'", "it.'"))
    line = ["selfinstruct", "ghost", str(tmp_path / "chats.jsonl"), "--output", str(tmp_path / "h.jsonl")]
    assert main([*line, "--constraints", str(own)]) == 2
    assert "constraint 'style': short: must hold {choice}" in capsys.readouterr().err
    assert len(read_constraints().constraints) == 3


def test_distilled_answers_are_sampled_behind_a_preprompt_and_kept_without_it(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "p.jsonl", [
        {"id": "a", "prompt": [{"role": "user", "content": "Bad?"}]},
        {"id": "b", "prompt": [{"role": "system", "content": "S."}, {"role": "user", "content": "Worse?"}],
         "meta": {"category": "illicit"}},
    ])  # fmt: skip
    with FakeOpenAI(say) as server:
        made = run(server, "distill", tmp_path / "p.jsonl", tmp_path / "d.jsonl", "--answers", 2)
        systems = [
            [turn["content"] for turn in body["messages"] if turn["role"] == "system"] for body in server.requests
        ]
    assert [[bool(answer.context) for answer in one.answers] for one in made] == [[False, False, True, True]] * 2
    assert [turn.content for turn in made[0].prompt] == ["Bad?"]
    assert [turn.content for turn in made[1].prompt] == ["S.", "Worse?"]
    contexts = [one.answers[-1].context for one in made]
    assert sorted(map(str, systems)) == sorted(map(str, [
        [], [], [contexts[0]], [contexts[0]], ["S."], ["S."], [f"{contexts[1]}\n\nS."], [f"{contexts[1]}\n\nS."],
    ]))  # fmt: skip
    assert "crime" in contexts[1] and "crime" not in contexts[0]


SAID = [str(turn["content"]) for turn in CHAT]
SHAPES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "candidates": ({"id": "x", "prompt": CHAT, "answers": [{"content": "a"}]}, SAID),
    "conversation": ({"id": "x", "messages": CHAT[:4]}, SAID[:3]),
    "sharegpt": ({"id": "x", "conversations": [{"from": "human", "value": "Hi"}]}, ["Hi"]),
    "question": ({"question_id": "x", "question": "Hi"}, ["Hi"]),
    "turns": ({"question_id": "x", "turns": ["Hi"], "system": "S."}, ["S.", "Hi"]),
    "record": ({"id": "x", "instruction": "Hi", "input": "you", "output": "z"}, ["Hi\n\nyou"]),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_prompts_are_read_from_every_shape(tmp_path: Path, shape: str) -> None:
    record, texts = SHAPES[shape]
    write_jsonl(tmp_path / "p.jsonl", [record, record])
    first, second = read_prompts(tmp_path / "p.jsonl")
    assert [turn.content for turn in first.messages] == texts and (first.id, second.id) == ("x", "x#2")


@pytest.mark.parametrize(
    ("record", "error"),
    [
        ({"messages": [{"role": "assistant", "content": "Hi"}]}, "nothing that the user asks"),
        ({"question_id": 1, "turns": ["Hi", "And?"]}, "a follow-up without the answer before it"),
        ({"prompt": []}, "field 'prompt' must be a non-empty list"),
    ],
)
def test_what_asks_nothing_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], record: dict[str, Any], error: str
) -> None:
    write_jsonl(tmp_path / "p.jsonl", [record])
    assert main(["selfinstruct", "sample", str(tmp_path / "p.jsonl"), "--output", str(tmp_path / "c.jsonl")]) == 2
    said = capsys.readouterr().err
    assert f"{tmp_path}/p.jsonl:1: " in said and error in said
