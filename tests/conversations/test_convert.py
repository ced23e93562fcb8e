"""Files in, one clean file out, everything counted."""

import json
import os
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from camelid.app.cli import main
from camelid.errors import UserError
from camelid.message import Conversation
from camelid.text.decontaminate import Decontaminator, KeepOutQuestions
from camelid.text.language import KeepLanguages
from camelid.text.pii import KINDS, ScrubPersonalData
from conversations.batch import CleaningStep, ConversionWork
from conversations.cleaning.blocked import BlockPhrases
from conversations.cleaning.clean import Clean
from conversations.cleaning.sampling import Sample, is_in_sample
from conversations.convert import Conversion
from conversations.formats.readers import read_conversations
from conversations.formats.table import FORMATS
from tests.chat_pages import answer, question

SAMPLE = Path(__file__).parents[2] / "conversations" / "data" / "sharegpt_sample.json"
QUESTIONS = Path(__file__).parents[2] / "eval" / "data" / "demo_questions.jsonl"


def convert(
    *paths: Path, questions: tuple[str, ...] = (), work: ConversionWork | None = None, **options: Any
) -> tuple[list[Conversation], Conversion]:
    conversion = Conversion()
    work = work or ConversionWork((KeepOutQuestions(Decontaminator(questions)),))
    return list(conversion.run(paths, work, **options)), conversion


def sharegpt(path: Path, *records: object) -> Path:
    path.write_text(json.dumps(list(records)))
    return path


def chat(name: object, *values: str) -> dict[str, object]:
    turns = [{"from": "gpt" if index % 2 else "human", "value": value} for index, value in enumerate(values)]
    return {"id": name, "conversations": turns}


def test_the_sample() -> None:
    question = json.loads(QUESTIONS.read_text().splitlines()[0])["turns"][0]
    kept, conversion = convert(SAMPLE, questions=(question,))
    assert conversion.conversations.read == 60 and len(kept) == conversion.conversations.kept
    assert set(conversion.conversations.dropped) == {
        "exact repeat of one before",
        "contains an evaluation question",
        "no turns",
        "unreadable record",
    }
    [fault] = conversion.faults
    assert "sharegpt_sample.json[59]: conversations[1]: no field 'value'; found ['from']" in fault
    turns = sum(len(item["conversations"]) for item in json.loads(SAMPLE.read_text()))
    assert conversion.turns.read == turns
    assert not any(
        "<div" in m.content for c in kept for m in c.messages if m.role == "assistant" and "`" not in m.content
    )


def test_drops(tmp_path: Path) -> None:
    path = sharegpt(
        tmp_path / "a.json",
        chat("a", "hi", "yes"),
        chat("b", "hi", "<p>yes</p>"),  # the same after cleaning
        chat("c", "alone"),
        chat("d", "What is the capital of France?", "Paris"),
        {"id": "e", "conversations": [{"from": "robot", "value": "x"}]},
        {"foo": 1},
        chat("a", "other", "text"),
    )
    kept, conversion = convert(path, questions=("what is the CAPITAL of france",))
    assert [conversation.id for conversation in kept] == ["a", "a#2"]
    assert is_in_sample(kept[0], 0.5, "x") == is_in_sample(kept[1], 0.5, "x") and kept[1].meta == {"tree": "a"}
    assert conversion.conversations.dropped == {
        "exact repeat of one before": 1,
        "no exchange left": 1,
        "contains an evaluation question": 1,
        "unreadable record": 2,
    }
    assert conversion.turns.read == 4 * 2 + 1 + 1 and conversion.turns.kept == 4
    assert "conversations[0].from: unknown role 'robot'" in conversion.faults[0]


def test_output_reads_back(tmp_path: Path) -> None:
    kept, _ = convert(SAMPLE)
    path = tmp_path / "out.jsonl"
    path.write_text("".join(json.dumps(conversation.to_json()) + "\n" for conversation in kept))
    assert list(read_conversations(path)) == kept
    again, conversion = convert(path)
    assert again == kept and not conversion.turns.dropped and not conversion.turns.repaired


def test_a_file_that_is_no_json_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[\n{]")
    with pytest.raises(UserError, match=r"a\.json:2: broken JSON in record 0"):
        convert(tmp_path / "a.json")


TEXTS = st.sampled_from(
    ["", " ", "hi", "no", "1 / 2", "<p>x</p>", "network error", "a@b.org", "ChatGPT", "\ud800", "\x02"]
)
SHAREGPT_TURNS = st.lists(
    st.fixed_dictionaries({"from": st.sampled_from(["human", "gpt", "system", "human", "gpt"]), "value": TEXTS})
    | st.sampled_from([{"from": "robot", "value": "x"}, {"from": "gpt", "value": None}, {}]),
    max_size=7,
)
OPENAI_TURNS = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "system", "tool"]), "content": TEXTS})
    | st.sampled_from([{"role": "assistant", "content": None, "tool_calls": [1]}, {"role": "user", "content": [{}]}]),
    min_size=1,
    max_size=7,
)
RECORD = (
    st.fixed_dictionaries({"id": st.sampled_from(["a", "b", "\ud800"]), "conversations": SHAREGPT_TURNS})
    | st.fixed_dictionaries({"messages": OPENAI_TURNS})
    | st.fixed_dictionaries({"conversation": OPENAI_TURNS})
)
STEPS: list[CleaningStep] = [
    Sample(0.7), BlockPhrases(("chatgpt",)), KeepLanguages(skip=("de",)), ScrubPersonalData(),
    KeepOutQuestions(Decontaminator(["no"])),
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    records=st.lists(RECORD, max_size=8),
    steps=st.lists(st.sampled_from(STEPS), unique_by=id),
    html=st.booleans(),
    captions=st.booleans(),
    in_a_row=st.sampled_from(["join", "last"]),
    longest=st.sampled_from([None, 2]),
    repeats=st.booleans(),
    near=st.sampled_from([None, 0.5, 1.0]),
)
def test_kept_and_dropped_are_all_that_was_read(
    records: list[Any],
    steps: list[CleaningStep],
    html: bool,
    captions: bool,
    in_a_row: Any,
    longest: Any,
    repeats: bool,
    near: Any,
) -> None:
    """Conversations and turns, counted here from the input itself, whatever the input and the options."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.jsonl"
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        work = ConversionWork(tuple(steps), Clean(html, captions, in_a_row, longest))
        kept, conversion = convert(path, work=work, repeats=repeats, near_duplicates=near)
    turns = sum(len(value) for record in records for value in record.values() if isinstance(value, list))
    assert conversion.conversations.read == len(records) and conversion.conversations.kept == len(kept)
    assert conversion.turns.read == turns
    messages = sum(len(conversation.messages) for conversation in kept)
    assert messages <= conversion.turns.kept and (in_a_row == "join" or messages == conversion.turns.kept)
    assert all(count > 0 for count in (conversion.turns.dropped + conversion.conversations.dropped).values())
    assert len({conversation.id for conversation in kept}) == len(kept)
    json.dumps([conversation.to_json() for conversation in kept], ensure_ascii=False).encode()
    if not any(isinstance(step, ScrubPersonalData) for step in steps):
        typed = [turn.get("value", turn.get("content")) for record in records for turn in turns_of(record)]
        asked = {part for one in kept for m in one.messages if m.role == "user" for part in m.content.split("\n\n")}
        assert asked <= {str(text).replace("\ud800", "\ufffd") for text in typed if isinstance(text, str)}


def turns_of(record: dict[str, Any]) -> list[Any]:
    return next((value for value in record.values() if isinstance(value, list)), [])


def pages(path: Path, count: int) -> Path:
    records = []
    for number in range(count):
        rng = Random(number)
        values = [text for _ in range(rng.randint(1, 3)) for text in (question(rng), answer(rng).html)]
        records.append(chat(f"c{number % (count - 3)}", *values))
    return sharegpt(path, *records)


def test_user_text_of_many_pages_is_byte_identical_and_workers_change_nothing(tmp_path: Path) -> None:
    path = pages(tmp_path / "a.json", 200)
    kept, conversion = convert(path, near_duplicates=0.8)
    original = [[turn["value"] for turn in record["conversations"][::2]] for record in json.loads(path.read_text())]
    assert [[m.content for m in c.messages[::2]] for c in kept] == original
    more, parallel = convert(path, near_duplicates=0.8, workers=3)
    assert more == kept and parallel == conversion


def test_near_duplicates_keep_the_first(tmp_path: Path) -> None:
    long = " ".join(f"word{number}" for number in range(200))
    path = sharegpt(tmp_path / "a.json", chat("a", "hi", long), chat("b", "hi", long + " end"), chat("c", "hi", "no"))
    kept, conversion = convert(path, near_duplicates=0.8)
    assert [conversation.id for conversation in kept] == ["a", "c"]
    assert conversion.conversations.dropped == {"near-duplicate of one before": 1}


def test_unwritable_ids_and_meta_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}]
    path.write_text(json.dumps({"messages": messages, "meta": {"x": float("nan")}}))
    kept, conversion = convert(path)
    assert not kept and conversion.conversations.dropped == {"unreadable record": 1}
    assert "a.jsonl:1: cannot be written as JSON" in conversion.faults[0]


def command(*arguments: object) -> int:
    return main(["conversations", "convert", *map(str, arguments)])


def test_the_command_with_every_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out.jsonl"
    options = "--scrub email --skip-languages de --block fastchat --near-duplicates 0.9 --sample 0.9 --test 0.2 --quiet"
    assert (
        command(SAMPLE, "--output", output, "--identity", "Cami,Labs", "--decontaminate", QUESTIONS, *options.split())
        == 0
    )
    ledgers = json.loads((tmp_path / "out.ledger.json").read_text())["ledgers"]
    train, test = list(read_conversations(output)), list(read_conversations(tmp_path / "out.test.jsonl"))
    identity = sum(one.id.startswith("identity_") for one in train)
    assert test and identity == ledgers[2]["kept"] and len(train) + len(test) - identity == ledgers[0]["kept"]
    assert all(ledger["read"] == ledger["kept"] + sum(ledger["dropped"].values()) for ledger in ledgers)
    assert ledgers[0]["read"] == 60


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        (b'[{"conversations": [{"from": "human", "va', 2, "a.json:1: broken JSON in record 0: the file ends inside"),
        (b"\x00\x01\x02", 2, "a.json: a binary file"),
        (b'[{"conversations": [{"from": "robot", "value": ""}]}]', 1, "unknown role 'robot'"),
        (b"[]", 1, "nothing was kept"),
        (b"", 1, "nothing was kept"),
    ],
)
def test_broken_input_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, status: int, message: str
) -> None:
    (tmp_path / "a.json").write_bytes(content)
    assert command(tmp_path / "a.json", "--output", tmp_path / "out.jsonl", "--quiet") == status
    errors = capsys.readouterr().err
    assert message in errors and "Traceback" not in errors
    assert (tmp_path / "out.jsonl").exists() == (status == 1)


@pytest.mark.parametrize(
    ("unreadable", "options", "status", "said"),
    [
        (1, (), 0, ""),
        (2, (), 0, "camelid: warning: 2 of 11 records could not be read (18.2%)"),
        (5, (), 0, "camelid: warning: 5 of 14 records"),
        (10, (), 1, "camelid: 10 of 19 records could not be read (52.6%), a larger share than --max-unreadable 0.5"),
        (10, ("--max-unreadable", "0.6"), 0, "camelid: warning: 10 of 19 records"),
        (1, ("--max-unreadable", "0.01"), 1, "a larger share than --max-unreadable 0.01"),
        (1, ("--max-unreadable", "0"), 1, "a larger share than --max-unreadable 0"),
        (0, ("--max-unreadable", "0"), 0, ""),
    ],
)
def test_too_many_unreadable_records(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    unreadable: int,
    options: tuple[str, ...],
    status: int,
    said: str,
) -> None:
    records = [chat(number, f"q{number}", f"a{number}") for number in range(9)] + [{"foo": 1}] * unreadable
    output = tmp_path / "out.jsonl"
    assert command(sharegpt(tmp_path / "a.json", *records), "--output", output, "--quiet", *options) == status
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("camelid: ")]
    assert said in "".join(told) and bool(told) == bool(said)
    assert len(output.read_text().splitlines()) == 9


def test_it_says_what_it_replaces(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = sharegpt(tmp_path / "a.json", *(chat(number, f"q{number}", "yes") for number in range(40)))
    for before in (False, True):
        assert command(source, "--output", tmp_path / "out.jsonl", "--test", "0.5", "--quiet") == 0
        told = "".join(f"camelid: {tmp_path / name} was there before" for name in ("out.jsonl", "out.test.jsonl"))
        assert "".join(capsys.readouterr().err.split(" and has been replaced\n")) == (told if before else "")


@pytest.mark.parametrize("option", ["", "--decontaminate", "--block"])
@pytest.mark.parametrize("name", ["out.jsonl", "out.test.jsonl", "out.ledger.json"])
def test_it_never_replaces_what_it_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, name: str
) -> None:
    source, read = sharegpt(tmp_path / "a.json", chat("a", "hi", "yes")), tmp_path / name
    read.write_text('{"text": "hi"}')
    output = ("--output", tmp_path / "out.jsonl", "--test", "0.5", "--quiet")
    assert command(source, *filter(None, [option]), read, *output) == 2
    assert f"{name}: is an input, too, and would be replaced" in capsys.readouterr().err
    assert read.read_text() == '{"text": "hi"}' and len(list(tmp_path.iterdir())) == 2


def test_options_out_of_range(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for option in (
        "--test 2",
        "--sample 0",
        "--workers 0",
        "--max-unreadable 2",
        "--max-turn-chars 0",
        "--near-duplicates 2",
    ):
        assert command(SAMPLE, "--output", tmp_path / "out.jsonl", "--quiet", *option.split()) == 2
        assert option.split()[0].lstrip("-")[:4] in capsys.readouterr().err


def test_the_options_name_every_format_and_kind(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["conversations", "convert", "--help"])
    text = capsys.readouterr().out
    assert all(name in text for name in (*FORMATS, *KINDS))


@pytest.mark.skipif("CAMELID_REAL_DATA" not in os.environ, reason="CAMELID_REAL_DATA is not set")
def test_the_published_conversations_are_all_kept() -> None:
    path = Path(os.environ["CAMELID_REAL_DATA"]) / "conversations" / "dummy_conversation.json"
    kept, conversion = convert(path)
    assert len(kept) == 500 and not conversion.conversations.dropped
    original = [[turn["value"] for turn in record["conversations"]] for record in json.loads(path.read_text())]
    assert [[message.content for message in conversation.messages] for conversation in kept] == original
