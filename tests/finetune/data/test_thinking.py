"""What is trained of thinking and of tools, by a recipe's choice: tokens with weight, and what the ledger counts."""

import json
from pathlib import Path
from typing import Any

import pytest

from conversations.tokens.template import get_template
from finetune.data.token_data import TokenData, load_tokens
from finetune.folders.tokenizer import train_tokenizer
from finetune.recipe import DataSection, DataSource
from tests.conversations.tokens.test_published_templates import OPENED, STRIPPING

THOUGHTS = [
    {"role": "user", "content": "2+2?"},
    {"role": "assistant", "content": "4", "reasoning": "two and two"},
    {"role": "user", "content": "3+3?"},
    {"role": "assistant", "content": "6", "reasoning": "three twice"},
]
CALL = {"function": {"name": "add", "arguments": '{"a": 2}'}}
CALLED = [
    {"role": "user", "content": "2+2?"},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": "4"},
    {"role": "assistant", "content": "It is 4."},
]
PLAIN = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
TOOLS = [{"type": "function", "function": {"name": "add"}}]
END = "<|im_end|>"


@pytest.fixture
def tokenizer() -> Any:
    return train_tokenizer([], 300, get_template("chatml"))


def trained(data: TokenData, tokenizer: Any) -> list[tuple[str, str]]:
    """Of each document, what its tokens with weight say, and the whole."""
    documents = [data.document(index) for index in range(data.documents)]
    return [(tokenizer.decode(ids[weights > 0]), tokenizer.decode(ids)) for ids, weights in documents]


def load(folder: Path, tokenizer: Any, *talks: Any, tools: Any = None, **section: Any) -> TokenData:
    """Records of messages, with tools if any are given."""
    named = {"tools": tools} if tools else {}
    records = [{"id": str(number), **named, "messages": talk, "meta": {}} for number, talk in enumerate(talks)]
    path = folder / "chats.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return load_tokens(folder / "cache", DataSection((DataSource(str(path)),), **section), tokenizer, seed=0)


def thoughts(text: str) -> str:
    return f"<think>\n{text}\n</think>\n\n"


# Of each template, what is trained with each choice, document by document: ChatML writes thinking into the text; the
# others have one document for each answer, in which earlier thinking does not stand.
TRAINED: dict[str, dict[str, list[str]]] = {
    "chatml": {
        "train": [f"{thoughts('two and two')}4{END}{thoughts('three twice')}6{END}"],
        "mask": [f"4{END}6{END}"],
        "drop": [f"4{END}6{END}"],
    },
    STRIPPING: {
        "train": [f"{thoughts('two and two')}4{END}", f"{thoughts('three twice')}6{END}"],
        "mask": [f"4{END}", f"6{END}"],
        "drop": [f"{thoughts('')}4{END}", f"{thoughts('')}6{END}"],
    },
    OPENED: {
        "train": [f"two and two\n</think>\n\n4{END}", f"three twice\n</think>\n\n6{END}"],
        "mask": [f"4{END}", f"6{END}"],
        "drop": [f"\n</think>\n\n4{END}", f"\n</think>\n\n6{END}"],
    },
}


@pytest.mark.parametrize("thinking", ["train", "mask", "drop"])
@pytest.mark.parametrize("template", TRAINED, ids=["chatml", "stripping", "opened"])
def test_thinking_is_trained_masked_or_left_out(tmp_path: Path, tokenizer: Any, template: str, thinking: str) -> None:
    if template != "chatml":
        tokenizer.chat_template = template
    name = template if template == "chatml" else "tokenizer"
    data = load(tmp_path, tokenizer, THOUGHTS, template=name, thinking=thinking)
    assert [learned for learned, _ in trained(data, tokenizer)] == TRAINED[template][thinking]
    last = trained(data, tokenizer)[-1][1]
    assert ("three twice" in last) == (thinking != "drop")
    assert ("two and two" in last) == (thinking != "drop" and template == "chatml")
    left_out = {"thinking left out (data.thinking: drop)": 1} if thinking == "drop" else {}
    assert data.ledgers[0].repaired == left_out


def test_calls_are_trained_and_what_they_gave_is_not(tmp_path: Path, tokenizer: Any) -> None:
    data = load(tmp_path, tokenizer, CALLED, tools=TOOLS, template="chatml", max_length=1024)
    [(learned, whole)] = trained(data, tokenizer)
    call = '<tool_call>\n{"name": "add", "arguments": {"a": 2}}\n</tool_call>'
    assert learned == f"{call}{END}It is 4.{END}" and "<tool_response>\n4\n" in whole and "# Tools" in whole


def test_where_a_template_knows_no_tools_the_exchange_is_lost_and_counted(tmp_path: Path) -> None:
    tokenizer = train_tokenizer([], 300, get_template("vicuna_v1.1"))
    talks = ([*PLAIN, *CALLED], CALLED, PLAIN)
    data = load(tmp_path, tokenizer, *talks, tools=TOOLS, template="vicuna_v1.1")
    assert [learned for learned, _ in trained(data, tokenizer)] == [" Hello.</s>", " Hello.</s>"]
    [records, _] = data.ledgers
    assert (records.read, records.kept) == (3, 2)
    assert records.dropped == {"every exchange used a tool, which the template cannot write": 1}
    assert records.repaired == {
        "exchange that used a tool lost: the template cannot write it": 1,
        "tools that were not called lost: the template cannot write them": 1,
    }
    assert "writes no tools" in records.examples["exchange that used a tool lost: the template cannot write it"]


def test_calls_that_a_template_cannot_write_so_are_lost_alone(tmp_path: Path) -> None:
    tokenizer = train_tokenizer([], 300, get_template("llama-3"))
    twice = json.loads(json.dumps(CALLED))
    twice[1]["tool_calls"] = [CALL, CALL]
    data = load(tmp_path, tokenizer, [*twice, *CALLED], tools=TOOLS, template="llama-3", max_length=2000)
    [(learned, _)] = trained(data, tokenizer)
    assert learned == '{"name": "add", "parameters": {"a": 2}}<|eot_id|>It is 4.<|eot_id|>'
    assert data.ledgers[0].repaired == {"exchange that used a tool lost: the template cannot write it": 1}
    assert "one call at a time" in next(iter(data.ledgers[0].examples.values()))


def test_the_date_that_stands_for_todays_is_in_the_ledger(tmp_path: Path, tokenizer: Any) -> None:
    tokenizer.chat_template = "{{ strftime_now('%d %b %Y') }} " + STRIPPING
    data = load(tmp_path, tokenizer, PLAIN, template="tokenizer")
    [(_, whole)] = trained(data, tokenizer)
    assert whole.startswith("26 Jul 2024 ")
    assert data.ledgers[0].noted == {"written with the date 2024-07-26 in place of today's": 1}
