"""Calls of tools in OpenAI's shape, asked for by schema and read from what the model writes."""

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

import jsonschema
import openai
import pytest

from camelid.message import ToolCall
from conversations.tokens.template import get_template, template_from_tokenizer
from finetune.generate.grammar import GrammarTokenizer
from finetune.serve.call_form import CallForm, CallReader
from finetune.serve.served import ServedModel, open_served
from finetune.serve.structured import grammar_of_lark
from tests.conversations.conftest import byte_level
from tests.finetune.serve.calling_model import ANSWER, save_calling_model
from tests.finetune.serve.serving import Running, serving

CITY: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 9}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOLS: Any = [
    {"type": "function", "function": {"name": "weather", "description": "Of a city.", "parameters": CITY}},
    {"type": "function", "function": {"name": "now"}},
]
QUESTION: Any = [{"role": "user", "content": "Rome?"}]


@pytest.fixture(scope="module")
def calling(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> ServedModel:
    folder = tmp_path_factory.mktemp("model") / "calling"
    save_calling_model(folder)
    return open_served(folder, "calling")


@pytest.fixture(scope="module")
def server(calling: ServedModel, served: ServedModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving([calling, served], tmp_path_factory.mktemp("votes")) as running:
        yield running


@pytest.fixture
def client(server: Running) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.url, api_key="none", max_retries=0)


def ask(client: openai.OpenAI, messages: Any = QUESTION, **more: Any) -> Any:
    asked = {"model": "calling", "messages": messages, "max_tokens": 120, "temperature": 0}
    return client.chat.completions.create(**{**asked, "tools": TOOLS, **more})


@pytest.mark.parametrize("stream", [False, True])
def test_a_call_its_result_and_the_answer(client: openai.OpenAI, stream: bool) -> None:
    if stream:
        deltas = [choice for chunk in ask(client, stream=True) for choice in chunk.choices]
        [call] = [one for choice in deltas for one in choice.delta.tool_calls or ()]
        reason, text = deltas[-1].finish_reason, "".join(choice.delta.content or "" for choice in deltas)
        assert call.index == 0
    else:
        choice = ask(client).choices[0]
        [call], reason, text = choice.message.tool_calls, choice.finish_reason, choice.message.content or ""
        assert choice.message.content is None
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "Rome"})
    assert reason == "tool_calls" and not text and call.type == "function" and call.id
    asked = {"role": "assistant", "content": None, "tool_calls": [call.model_dump(exclude={"index"})]}
    told = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    last = ask(client, [*QUESTION, asked, told]).choices[0]
    assert (last.message.content, last.finish_reason, last.message.tool_calls) == (ANSWER, "stop", None)


@pytest.mark.parametrize("stream", [False, True])
def test_calls_that_must_be_made_keep_to_their_schema(client: openai.OpenAI, stream: bool) -> None:
    """At a temperature at which the model says anything."""
    for seed in range(6):
        choice = {"type": "function", "function": {"name": "weather"}} if seed % 2 else "required"
        reply = ask(client, tool_choice=choice, temperature=2, seed=seed, stream=stream)
        if stream:
            chunks = [choice for chunk in reply for choice in chunk.choices]
            calls, reason = [c for one in chunks for c in one.delta.tool_calls or ()], chunks[-1].finish_reason
        else:
            calls, reason = reply.choices[0].message.tool_calls, reply.choices[0].finish_reason
        if reason == "length":  # it went on calling
            continue
        assert reason == "tool_calls" and calls
        for call in calls:
            assert call.function.name in ("weather",) if seed % 2 else ("weather", "now")
            schema = CITY if call.function.name == "weather" else {"type": "object"}
            jsonschema.validate(json.loads(call.function.arguments), schema)


def test_one_call_where_several_are_not_wanted(client: openai.OpenAI) -> None:
    for seed in range(5):
        reply = ask(client, tool_choice="required", temperature=2, seed=seed, parallel_tool_calls=False)
        if reply.choices[0].finish_reason != "length":
            assert len(reply.choices[0].message.tool_calls) == 1


def test_none_and_templates_without_tools(client: openai.OpenAI) -> None:
    silent = ask(client, tool_choice="none").choices[0].message
    assert silent.tool_calls is None and silent.content.startswith("<tool_call>")  # nobody has offered a tool
    with pytest.raises(openai.BadRequestError, match=r"vicuna_v1\.1") as caught:
        ask(client, model="lively")
    assert caught.value.param == "tools"
    unknown = {"type": "function", "function": {"name": "storm"}}
    with pytest.raises(openai.BadRequestError, match="storm"):
        ask(client, tool_choice=unknown)
    bad = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "not": {}}}}
    with pytest.raises(openai.BadRequestError, match="'not'") as caught:
        ask(client, tools=[bad])
    assert caught.value.param == "tools"


JINJA = """{%- for tool in tools or [] %}TOOL {{ tool | tojson }}
{% endfor -%}
{%- for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}
{%- for call in message.tool_calls or [] %}<call>{{ call.function.name }} with{{ ' ' }}
{{- call.function.arguments | tojson }}</call>
{%- endfor %}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif -%}"""


def forms() -> dict[str, CallForm]:
    """Of our templates with tools and of one that somebody else has written."""
    found = {name: CallForm.of(get_template(name)) for name in ("chatml", "llama-3")}
    tokenizer = copy.copy(byte_level().tokenizer)
    tokenizer.chat_template = JINJA
    return {**found, "jinja": CallForm.of(template_from_tokenizer(tokenizer))}


def test_forms_are_found_in_templates() -> None:
    found = forms()
    hermes = CallForm('<tool_call>\n{"name": "', '", "arguments": ', "}\n</tool_call>", "\n")
    assert found["chatml"] == hermes
    assert found["llama-3"] == CallForm('{"name": "', '", "parameters": ', "}", None)
    assert found["jinja"] == CallForm("<call>", " with ", "</call>", "")


@pytest.mark.parametrize("name", ["chatml", "llama-3", "jinja"])
def test_calls_are_read_from_pieces_of_any_size(name: str) -> None:
    form, rng = forms()[name], random.Random(1)
    for _ in range(200):
        wanted = [
            ToolCall(rng.choice(["f", "g.h"]), json.dumps({"a": rng.choice(["}", '"', "é<", 1, {"b": []}])}))
            for _ in range(rng.randint(0, 2 if form.joint is not None else 1))
        ]
        said = rng.choice(["", "Well. ", 'It is {"name', "<tool_call"])
        text = said + (form.joint or "").join(
            form.before + call.name + form.between + call.arguments + form.after for call in wanted
        )
        reader, shown, calls = CallReader(form), "", list[ToolCall]()
        while text:
            size = rng.randint(1, 12)
            more, new = reader.add(text[:size])
            text, shown, calls = text[size:], shown + more, calls + new
        shown += reader.finish()
        assert [(call.name, call.arguments) for call in calls] == [(call.name, call.arguments) for call in wanted]
        assert shown.strip() == said.strip() and len({call.id for call in calls}) == len(calls)


def test_what_begins_as_a_call_goes_on_as_one(calling: ServedModel) -> None:
    tokens = GrammarTokenizer(calling.tokenizer, calling.model.config.vocab_size, calling.end_ids)
    form = forms()["chatml"]
    tools: Any = [
        {"type": "function", "function": {"parameters": {"type": "object"}, **tool["function"]}} for tool in TOOLS
    ]
    grammar = grammar_of_lark(form.lark(tools, forced=False, several=True), tokens, "tools")
    call = '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>'
    for text, allowed in (
        ("", True),
        ("Hello <tool", True),
        (f"Let me see. {call}", True),
        (f"{call}\n{call}", True),
        (call.replace("weather", "storm"), False),
        (call.replace('"Rome"', "7"), False),
        (call.replace("city", "town"), False),
    ):
        matcher = grammar.matcher()
        taken = all(matcher.consume_token(token) for token in tokens.tokens.tokenize_str(text))
        assert (taken and matcher.is_accepting()) == allowed, text
