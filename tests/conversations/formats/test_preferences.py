"""Every format of preferences through `camelid conversations preferences`: read, broken, refused as chats."""

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from camelid.app.cli import main
from camelid.files.write import dumps
from conversations.collect_preferences import PreferenceCollection
from conversations.formats.preferences.table import PREFERENCE_FORMATS, detect_preference_format
from conversations.preference import parse_preference

ASKED = {"role": "user", "content": "Why?"}
GOOD, BAD = {"role": "assistant", "content": "Because."}, {"role": "assistant", "content": "No."}
INFO = {"id": "t3_1", "post": "I ran.", "title": "Ran", "subreddit": "run"}
RATED = {name: {"Rating": "5", "Rationale": ""} for name in ("honesty", "truthfulness", "helpfulness")}
WORSE = {**RATED, "instruction_following": {"Rating": "1", "Rationale": ""}, "honesty": {"Rating": "N/A"}}
PKU = {
    "prompt": "Why?",
    "response_0": "Because.",
    "response_1": "No.",
    "is_response_0_safe": True,
    "is_response_1_safe": True,
    "better_response_id": 0,
    "safer_response_id": 1,
}
VOTE = {
    "question_id": "q1",
    "model_a": "alpha",
    "model_b": "beta",
    "winner": "model_b",
    "conversation_a": [ASKED, BAD],
    "conversation_b": [ASKED, GOOD],
}


@dataclass(frozen=True)
class Row:
    """Of one format: a record in which `Because.` is preferred to `No.` as an answer to `Why?`, what else must come of
    it, and one that cannot be read with its error."""

    record: dict[str, Any]
    broken: dict[str, Any]
    error: str
    also: dict[str, Any] = field(default_factory=dict)
    prompt: str = "Why?"


ROWS = {
    "preferences": Row(
        {"id": "7", "prompt": [ASKED], "chosen": {"content": "Because.", "model": "m"}, "rejected": {"content": "No."},
         "grade": 3, "safety": {"chosen": True, "rejected": False}, "source": "ai/x", "meta": {"a": 1}},
        {"prompt": [ASKED], "chosen": {"content": "Because."}, "rejected": {"content": "No."}, "grade": 7},
        "field 'grade' must be from 0 to 3, or null, found 7",
        {"id": "7", "grade": 3, "source": "ai/x", "meta": {"a": 1}, "safety": {"chosen": True, "rejected": False}},
    ),
    "summarize": Row(
        {"info": INFO, "summaries": [{"text": " No.", "policy": "ref"}, {"text": " Because.", "policy": "sup2"}],
         "choice": 1, "worker": "w", "extra": {"confidence": 9}},
        {"info": INFO, "summaries": [{"text": "a"}, {"text": "b"}], "choice": 2},
        "field 'choice' must be 0 or 1, found 2",
        {"id": "t3_1", "grade": 3, "source": "human/summarize-from-feedback"},
        prompt="SUBREDDIT: r/run\nTITLE: Ran\nPOST: I ran.\n\nTL;DR:",
    ),
    "shp": Row(
        {"post_id": "qt3", "history": "Why?", "human_ref_A": "Because.", "human_ref_B": "No.", "labels": 1,
         "score_A": 340, "score_B": 166, "score_ratio": 2.048},
        {"history": "Why?", "human_ref_A": "Because.", "human_ref_B": "No.", "labels": "A"},
        "field 'labels' must be 0 or 1, found 'A'",
        {"id": "qt3", "grade": 2, "source": "human/shp"},
    ),
    "ultrafeedback": Row(
        {"source": "sharegpt", "instruction": "Why?", "models": ["a", "b"],
         "completions": [{"model": "a", "response": "No.", "annotations": WORSE},
                         {"model": "b", "response": "Because.", "annotations": RATED}]},
        {"instruction": "Why?", "completions": [{"response": "No.", "annotations": {}}]},
        "completions[0].annotations: no rating of instruction_following",
        {"grade": 1, "source": "ai/gpt-4"},  # 5 against (1 + 5 + 5) / 3
    ),
    "helpsteer-preference": Row(
        {"domain": "general", "language": "english", "context": [ASKED], "response1": "Because.", "response2": "No.",
         "overall_preference": -2},
        {"context": [ASKED], "response1": "Because.", "response2": "No.", "overall_preference": -4},
        "field 'overall_preference' must be a number from -3 to 3, found -4",
        {"grade": 2, "source": "human/helpsteer", "meta": {"domain": "general", "language": "english"}},
    ),
    "helpsteer": Row(
        {"prompt": "Why?", "response": "Because.", "helpfulness": 4, "correctness": 4},
        {"prompt": "Why?", "response": "No.", "helpfulness": 9},
        "field 'helpfulness' must be a number from 0 to 4, found 9",
        {"grade": 3},
    ),
    "safe-rlhf": Row(
        {key: value for key, value in PKU.items() if key != "safer_response_id"},
        {**PKU, "better_response_id": 2},
        "field 'better_response_id' must be 0 or 1, found 2",
        {"safety": {"chosen": True, "rejected": True}, "source": "human/pku-saferlhf"},
    ),
    "arena": Row(
        VOTE,
        {**VOTE, "winner": "model_c"},
        "field 'winner' must be one of model_a, model_b, tie",
        {"id": "q1", "source": "human/arena", "chosen": {"content": "Because.", "model": "beta"}},
    ),
    "openai-preference": Row(
        {"input": {"messages": [ASKED], "tools": []}, "preferred_output": [GOOD], "non_preferred_output": [BAD]},
        {"input": [ASKED], "preferred_output": [GOOD], "non_preferred_output": [BAD]},
        "field 'input' must be an object with 'messages', found list",
    ),
    "stack-exchange": Row(
        {"qid": 5, "question": "Why?", "response_j": "Because.", "response_k": "No."},
        {"question": "Why?", "response_j": "Because.", "response_k": None},
        "field 'response_k' must be a string, found None",
        {"id": "5"},
    ),
    "alpaca-farm": Row(
        {"instruction": "Why?", "input": "", "output_1": "No.", "output_2": "Because.", "preference": 2},
        {"instruction": "Why?", "input": "", "output_1": "No.", "output_2": "Because.", "preference": 3},
        "field 'preference' must be a number from 0 to 2, found 3",
    ),
    "webgpt": Row(
        {"question": {"full_text": "Why?", "id": "w"}, "answer_0": "Because.", "answer_1": "No.", "score_0": 0.5,
         "score_1": -0.5},
        {"question": {"full_text": "Why?"}, "answer_0": "Because.", "answer_1": "No.", "score_0": None},
        "field 'score_0' must be a number from -1 to 1, found None",
        {"id": "w", "source": "human/webgpt"},
    ),
    "hh-rlhf": Row(
        {"chosen": "\n\nHuman: Why?\n\nAssistant: Because.", "rejected": "\n\nHuman: Why?\n\nAssistant: No."},
        {"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: a\n\nAssistant: c", "weight": 3},
        "field weight must be a number from 0 to 1, found 3",
        {"source": "human/hh-rlhf"},
    ),
    "chosen-rejected": Row(
        {"prompt": "Why?", "chosen": "Because.", "rejected": "No.", "score_chosen": 8.0},
        {"prompt": "Why?", "chosen": "Because.", "rejected": 5},
        "field 'rejected' must be a text, a message or a non-empty list of messages, found int",
        {"source": "", "meta": {"score_chosen": 8.0}},
    ),
}  # fmt: skip
LABELLED = {
    "trl": {"prompt": "Why?", "completion": "Because.", "label": True},
    "trl messages": {"prompt": [ASKED], "completion": [GOOD], "label": True},
    "llama-factory": {"messages": [ASKED, GOOD], "kto_tag": True},
    "sharegpt": {"conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "Because."}],
                 "label": True},
    "alpaca": {"instruction": "Why?", "input": "", "output": "Because.", "kto_tag": True},
    "ours": {"prompt": [ASKED], "answer": {"content": "Because."}, "label": True},
}  # fmt: skip
SHAREGPT = {"from": "human", "value": "Why?"}
SHAPES = {
    "trl, implicit text": {"chosen": "Why? Because.", "rejected": "Why? No."},
    "trl, messages": {"prompt": [ASKED], "chosen": [GOOD], "rejected": [BAD]},
    "trl, implicit messages": {"chosen": [ASKED, GOOD], "rejected": [ASKED, BAD]},
    "trl, text and whole chats": {"prompt": "Why?", "chosen": [ASKED, GOOD], "rejected": [ASKED, BAD],
                                  "messages": [ASKED, GOOD], "score_chosen": 8.0},
    "prompt repeated in texts": {"prompt": "Why?", "chosen": "Why? Because.", "rejected": "Why? No."},
    "prompt as a transcript": {"prompt": "\n\nHuman: Why?\n\nAssistant:", "chosen": " Because.", "rejected": " No."},
    "sharegpt": {"conversations": [SHAREGPT], "chosen": {"from": "gpt", "value": "Because."},
                 "rejected": {"from": "gpt", "value": "No."}},
    "openai messages": {"messages": [ASKED], "chosen": GOOD, "rejected": BAD},
    "alpaca": {"instruction": "Why?", "input": "", "chosen": "Because.", "rejected": "No."},
    "orca": {"question": "Why?", "chosen": "Because.", "rejected": "No."},
    "ms-swift": {"messages": [ASKED, GOOD], "rejected_response": "No."},
    "ms-swift, messages": {"messages": [ASKED, GOOD], "rejected_messages": [ASKED, BAD]},
    "ms-swift, query": {"query": "Why?", "response": "Because.", "rejected_response": "No.", "history": []},
    "trl, text that goes on": {"prompt": "Why?", "chosen": " Because.", "rejected": " No."},
    "distilabel": {"prompt": "Why?", "chosen_response": "Because.", "rejected_response": "No."},
    "arena, texts": {"id": 3, "prompt": '["Why?"]', "response_a": '["No."]', "response_b": '["Because."]',
                     "winner_model_a": 0, "winner_model_b": 1, "winner_tie": 0},
    "arena, parts": {**VOTE, "conversation_a": [
        {"role": "user", "content": [{"type": "text", "text": "Why?", "image": None, "mimeType": None}]}, BAD]},
    "helpsteer2": {"prompt": "Why?", "response_1": "No.", "response_2": "Because.", "preference_strength": 3},
}  # fmt: skip


def collect(tmp_path: Path, *records: dict[str, Any], status: int = 0) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What the command makes of records, and its ledger."""
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    assert main(["conversations", "preferences", str(source), "--output", str(output), "--quiet"]) == status
    lines = output.read_text(encoding="utf-8").splitlines() if output.exists() else []
    return [json.loads(line) for line in lines], json.loads((tmp_path / "out.ledger.json").read_text())


def assert_preferred(record: dict[str, Any], prompt: str = "Why?") -> None:
    assert record["prompt"] == [{"role": "user", "content": prompt}]
    assert (record["chosen"]["content"], record["rejected"]["content"]) == ("Because.", "No.")


def records_of(name: str) -> list[dict[str, Any]]:
    """A format's record; of HelpSteer, whose rows are compared with each other, with the row of the other answer."""
    other = [{"prompt": "Why?", "response": "No.", "helpfulness": 1}] if name == "helpsteer" else []
    return [ROWS[name].record, *other]


def test_every_format_has_a_row() -> None:
    assert [*ROWS, "labelled"] == [*PREFERENCE_FORMATS]


@pytest.mark.parametrize("name", ROWS)
def test_a_record_is_read(tmp_path: Path, name: str) -> None:
    row = ROWS[name]
    assert detect_preference_format(row.record, "x").name == name
    folder = tmp_path / "out.helpful.jsonl"
    collected, ledger = collect(tmp_path, *records_of(name))
    if name == "safe-rlhf":
        collected = [json.loads(folder.read_text())]
    [made] = collected
    assert_preferred(made, row.prompt)
    assert {key: made[key] for key in row.also} == row.also
    assert [one["kept"] for one in ledger["ledgers"]] == [1] and not ledger["faults"]


@pytest.mark.parametrize("name", ROWS)
def test_a_broken_record_is_named_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    records = [*records_of(name), {**ROWS["chosen-rejected"].record, "prompt": "Else?"}, ROWS[name].broken]
    _, ledger = collect(tmp_path, *records)
    place = f"{tmp_path}/in.jsonl:{len(records)}"
    assert (
        len(ledger["faults"]) == 1 and ledger["faults"][0].startswith(place) and ROWS[name].error in ledger["faults"][0]
    )
    assert ledger["ledgers"][0]["dropped"]["unreadable record"] == 1
    assert ROWS[name].error in capsys.readouterr().err


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_a_pair_is_read(tmp_path: Path, shape: str) -> None:
    [made], _ = collect(tmp_path, SHAPES[shape])
    assert_preferred(made)


@pytest.mark.parametrize("shape", LABELLED)
def test_every_shape_of_a_label_is_read(tmp_path: Path, shape: str) -> None:
    unwanted = {key: False if value is True else value for key, value in LABELLED[shape].items()}
    wanted, other = collect(tmp_path, LABELLED[shape], unwanted)[0]
    assert wanted["prompt"] == [ASKED] and wanted["answer"] == {"content": "Because."}
    assert (wanted["label"], other["label"]) == (True, False)


@pytest.mark.parametrize("record", [*(row.record for row in ROWS.values()), *SHAPES.values(), *LABELLED.values()])
def test_no_reader_of_chats_takes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], record: dict[str, Any]
) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(json.dumps(record) + "\n")
    assert main(["conversations", "convert", str(source), "--output", str(tmp_path / "out.jsonl"), "--quiet"]) == 1
    assert "preference data" in capsys.readouterr().err


def test_a_transcript_of_several_turns_is_split_at_the_last_answer(tmp_path: Path) -> None:
    shared = "\n\nHuman: Hi\n\nAssistant: Hello.\n\nWell?\n\nHuman: Human: is a word\n\nHuman: so?\n\nAssistant:"
    [made], _ = collect(tmp_path, {"chosen": f"{shared} Yes, Human.", "rejected": f"{shared} Yes, man."})
    assert [(one["role"], one["content"]) for one in made["prompt"]] == [
        ("user", "Hi"), ("assistant", "Hello.\n\nWell?"), ("user", "Human: is a word\n\nso?"),
    ]  # fmt: skip
    assert (made["chosen"]["content"], made["rejected"]["content"]) == ("Yes, Human.", "Yes, man.")


EARLIER = [("user", "Hi"), ("assistant", "Hello."), ("user", "Why?")]


@pytest.mark.parametrize(
    "record",
    [
        {"instruction": "Why?", "history": [["Hi", "Hello."]], "chosen": "Because.", "rejected": "No."},
        {"prompt": "Hi\n<extra_id_1>Assistant\nHello.\n<extra_id_1>User\nWhy?", "response_1": "Because.",
         "response_2": "No.", "preference_strength": -1},
        {"prompt": "Human: Hi\n\nAssistant: Hello.\n\nHuman: Why?\n\nAssistant:", "chosen": " Because.",
         "rejected": " No."},
    ],
)  # fmt: skip
def test_earlier_turns_are_read_however_they_are_written(tmp_path: Path, record: dict[str, Any]) -> None:
    [made], _ = collect(tmp_path, record)
    assert [(one["role"], one["content"]) for one in made["prompt"]] == EARLIER
    assert (made["chosen"]["content"], made["rejected"]["content"]) == ("Because.", "No.")


def test_what_could_be_a_prompt_and_is_none_is_kept(tmp_path: Path) -> None:
    record = {"prompt": "Why?", "chosen": "Because.", "rejected": "No.", "context": "The law.", "question": "Why?"}
    [made], _ = collect(tmp_path, record)
    assert made["meta"] == {"context": "The law."}
    whole = {"prompt": "Why?", "messages": [ASKED, GOOD], "chosen": [ASKED, GOOD], "rejected": [ASKED, BAD]}
    assert collect(tmp_path, whole)[0][0]["meta"] == {}


def test_tools_that_a_request_names_are_kept(tmp_path: Path) -> None:
    record = ROWS["openai-preference"].record
    asked = {"messages": [ASKED], "tools": [{"type": "function"}], "parallel_tool_calls": True}
    [made], ledger = collect(tmp_path, {**record, "input": asked})
    assert made["meta"] == {"tools": [{"type": "function"}]} and ledger["ledgers"][0]["set_aside"] == {"tools": 1}


def test_a_table_of_texts_is_read(tmp_path: Path) -> None:
    source, output = tmp_path / "in.csv", tmp_path / "out.jsonl"
    winners = ["winner_model_a", "winner_model_b", "winner_tie"]
    names = ["id", "model_a", "model_b", "prompt", "response_a", "response_b", *winners]
    row = ["7", "alpha", "beta", '["Why?"]', '["No."]', '["Because."]', "0", "1", "0"]
    with source.open("w", newline="") as file:
        csv.writer(file).writerows([names, row])
    assert main(["conversations", "preferences", str(source), "--output", str(output), "--quiet"]) == 0
    assert_preferred(json.loads(output.read_text()))
    with source.open("w", newline="") as file:
        csv.writer(file).writerows([list(PKU), [str(value) for value in PKU.values()]])
    assert main(["conversations", "preferences", str(source), "--output", str(output), "--quiet"]) == 0
    assert_preferred(json.loads((tmp_path / "out.helpful.jsonl").read_text()))


def test_two_labels_are_two_files(tmp_path: Path) -> None:
    unsafe = {**PKU, "id": "2", "is_response_0_safe": True, "is_response_1_safe": False, "safer_response_id": 1}
    collected, ledger = collect(tmp_path, {**PKU, "id": "1"}, unsafe)
    assert not collected and not (tmp_path / "out.jsonl").exists()
    helpful, safe = ((tmp_path / f"out.{label}.jsonl").read_text().splitlines() for label in ("helpful", "safe"))
    assert [json.loads(line)["chosen"]["content"] for line in helpful] == ["Because.", "Because."]
    assert [json.loads(line)["chosen"]["content"] for line in safe] == ["No."]
    assert json.loads(helpful[1])["safety"] == {"chosen": True, "rejected": False}
    assert {one["unit"]: one["dropped"] for one in ledger["ledgers"]} == {
        "comparisons (helpful)": {},
        "comparisons (safe)": {"chosen as safer, but marked unsafe and the other safe": 1},
    }


@pytest.mark.parametrize(
    ("choice", "confidence", "grade"),
    [(0, 1, 3), (0, 4, 0), (1, 6, 0), (1, 7, 1), (1, 5, 0), (0, 9, None), (1, None, None)],
)
def test_confidence_becomes_a_grade(tmp_path: Path, choice: int, confidence: int | None, grade: int | None) -> None:
    record = {**ROWS["summarize"].record, "choice": choice, "extra": {"confidence": confidence}}
    [made], _ = collect(tmp_path, record)
    assert made["grade"] == grade


def test_every_pair_of_rated_answers_is_compared(tmp_path: Path) -> None:
    rows = [{"prompt": "Why?", "response": text, "helpfulness": rating} for text, rating in
            [("a", 0), ("b", 4), ("c", 3), ("d", 3)]]  # fmt: skip
    made, ledger = collect(tmp_path, *rows, {"prompt": "How?", "response": "e", "helpfulness": 1})
    assert [(one["chosen"]["content"], one["rejected"]["content"], one["grade"]) for one in made] == [
        ("b", "a", 3), ("c", "a", 3), ("d", "a", 3), ("b", "c", 1), ("b", "d", 1),
    ]  # fmt: skip
    assert len({one["id"] for one in made}) == 5 and len({one["meta"]["group"] for one in made}) == 1
    assert ledger["ledgers"][0]["dropped"] == {"tie": 1, "only answer to its prompt": 1}


DROPPED = {
    "tie": {**VOTE, "winner": "tie (bothbad)"},
    "equal answers": {"prompt": "Why?", "chosen": "No.", "rejected": "No."},
    "prompts that differ": {"chosen": [ASKED, GOOD], "rejected": [{"role": "user", "content": "How?"}, BAD]},
    "empty answer": {"prompt": "Why?", "chosen": "Because.", "rejected": " "},
    "no answer at the end": {"chosen": [ASKED, GOOD], "rejected": [ASKED]},
    "prompt that does not end with the user's question": {"prompt": [{"role": "system", "content": "Be brief."}],
                                                          "chosen": [GOOD], "rejected": [BAD]},
    "answers of several turns": {"chosen": [ASKED, GOOD, ASKED, GOOD], "rejected": [ASKED, BAD, ASKED, BAD]},
    "prompt that begins with an answer": {"prompt": [GOOD, ASKED], "chosen": [GOOD], "rejected": [BAD]},
    "exchange with an image, sound or file (images)": {"prompt": "Why?", "chosen": "Because.", "rejected": "No.",
                                                       "images": ["a.png"]},
}  # fmt: skip


@pytest.mark.parametrize("reason", DROPPED)
def test_what_is_no_preference_is_counted_by_its_reason(tmp_path: Path, reason: str) -> None:
    made, ledger = collect(tmp_path, {"prompt": "Why?", "chosen": "Because.", "rejected": "No."}, DROPPED[reason])
    assert len(made) == 1 and ledger["ledgers"][0]["dropped"] == {reason: 1}


def test_system_messages_thinking_and_what_else_there_is_are_kept(tmp_path: Path) -> None:
    record = {
        "system": "Be brief.",
        "question": "Why?",
        "chosen": "<think>Hm.</think>Because.",
        "rejected": "No.",
        "note": 3,
    }
    [made], ledger = collect(tmp_path, record)
    assert [one["content"] for one in made["prompt"]] == ["Be brief.", "Why?"]
    assert made["chosen"] == {"content": "Because.", "reasoning": "Hm."} and made["meta"] == {"note": 3}
    assert ledger["ledgers"][0]["set_aside"] == {"note": 1}


def test_ids_that_repeat_get_a_number(tmp_path: Path) -> None:
    record = {"id": "x", **ROWS["chosen-rejected"].record}
    made, _ = collect(tmp_path, record, record)
    assert [one["id"] for one in made] == ["x", "x#2"]


def test_the_audit_counts_what_a_model_would_learn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = [("long answer", "short", 3), ("short", "long answer", 0), ("quite long", "no", 3), ("no", "quite long", 0)]
    records = [{"prompt": [ASKED], "chosen": {"content": one}, "rejected": {"content": two}, "grade": grade}
               for one, two, grade in [*pairs, pairs[0]]]  # fmt: skip
    _, ledger = collect(tmp_path, *records, {"prompt": [ASKED], "answer": {"content": "x"}, "label": True})
    audit = ledger["audit"]["preferences"]
    assert audit["pairs"] == 5 and audit["labels"] == audit["wanted"] == 1 and audit["prompts"] == 1
    assert audit["chosen_longer"] == 3 / 5 and audit["grades"] == {"0": 2, "3": 3}
    assert (audit["conflicts"], audit["repeats"]) == (2, 1)
    said = capsys.readouterr().out
    assert "WARN  chosen is the longer answer: 60.0% (negligibly better 0%, significantly better 100%)" in said
    assert "WARN  contradict one before: 2; repeat one: 1" in said


def test_without_an_output_only_the_audit_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(json.dumps(ROWS["chosen-rejected"].record) + "\n")
    assert main(["conversations", "preferences", str(source), "--quiet"]) == 0
    assert "pairs: 1; labelled answers: 0; prompts: 1" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


JUNK = [None, 3, -1.5, float("nan"), True, "", " ", "x", "Human: y", [], [None], ["a", "b"], {}, {"role": 3},
        [{"role": "user"}], [{"role": "user", "content": "a"}], [{"from": "gpt", "value": "a"}], {"content": "a"},
        {"text": 1}]  # fmt: skip


@pytest.mark.parametrize(
    "record",
    [*(row.record for row in ROWS.values()), *SHAPES.values(), *LABELLED.values()],
    ids=lambda one: "-".join(one),
)
def test_no_field_however_broken_is_our_fault(tmp_path: Path, record: dict[str, Any]) -> None:
    """A record comes out, is dropped for a reason, or is named with its place: whatever stands in any field."""
    broken = [{**record, name: junk} for name in record for junk in JUNK]
    broken += [
        {**record, name: [junk, *record[name][1:]]}
        for name in record
        if isinstance(record[name], list)
        for junk in JUNK
    ]
    broken += [{**record, name: {**record[name], inner: junk}} for name in record if isinstance(record[name], dict)
               for inner in record[name] for junk in JUNK]  # fmt: skip
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps(one) + "\n" for one in broken))
    collection = PreferenceCollection()
    made = list(collection.run([source]))
    assert all(fault.startswith((f"{source}:", f"{source}[")) for fault in collection.faults)
    ledgers = collection.ledgers.values()
    assert sum(one.kept for one in ledgers) == len(made) and sum(one.read for one in ledgers) >= len(broken) / 2
    for _, one in made:
        assert parse_preference(json.loads(dumps(one.to_json())), "x") == one
