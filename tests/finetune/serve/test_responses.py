"""`/v1/responses`, as the official client uses it."""

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import openai
import pytest

from finetune.serve.served import ServedModel, open_served
from tests.finetune.serve.calling_model import ANSWER, save_calling_model
from tests.finetune.serve.serving import Running, serving

PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 5}, "old": {"type": "boolean"}},
    "required": ["name", "old"],
    "additionalProperties": False,
}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL: Any = {"type": "function", "name": "weather", "description": "Of a city.", "parameters": CITY, "strict": True}


@pytest.fixture(scope="module")
def server(served: ServedModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("model") / "calling"
    save_calling_model(folder)
    with serving([served, open_served(folder, "calling")], tmp_path_factory.mktemp("votes")) as running:
        yield running


@pytest.fixture
def client(server: Running) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.url, api_key="none", max_retries=0)


def test_a_text_is_that_of_the_chat(client: openai.OpenAI) -> None:
    ask: dict[str, Any] = {"model": "lively", "instructions": "be kind", "input": "red cat", "temperature": 0}
    reply = client.responses.create(**ask, max_output_tokens=20)
    chat = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "red cat"}]
    truth: Any = client.chat.completions.create(model="lively", messages=chat, temperature=0, max_tokens=20)  # type: ignore[arg-type]
    assert reply.output_text == truth.choices[0].message.content
    assert reply.status == ("completed" if truth.choices[0].finish_reason == "stop" else "incomplete")
    assert reply.usage is not None and reply.usage.output_tokens == truth.usage.completion_tokens
    turns: Any = [{"role": "user", "content": [{"type": "input_text", "text": "red cat"}]}]
    again = client.responses.create(**{**ask, "input": turns}, max_output_tokens=20)
    assert again.output_text == reply.output_text
    more: Any = [
        *turns,
        *(item.model_dump(exclude_none=True) for item in reply.output),
        {"role": "user", "content": "x"},
    ]
    assert client.responses.create(**{**ask, "input": more}, max_output_tokens=5).output


def test_a_stream_adds_up_to_the_response(client: openai.OpenAI) -> None:
    ask: dict[str, Any] = {"model": "lively", "input": "the dog sees", "temperature": 0, "max_output_tokens": 30}
    with client.responses.stream(**ask) as stream:
        events = list(stream)
        final = stream.get_final_response() if events[-1].type == "response.completed" else events[-1].response  # type: ignore[union-attr]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    said = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert said == final.output_text == client.responses.create(**ask).output_text
    kinds = [event.type for event in events if event.type != "response.output_text.delta"]
    assert kinds[:4] == [
        "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
    ]  # fmt: skip
    assert kinds[4:7] == ["response.output_text.done", "response.content_part.done", "response.output_item.done"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_call_and_its_result(client: openai.OpenAI, stream: bool) -> None:
    ask: dict[str, Any] = {"model": "calling", "tools": [TOOL], "temperature": 0}
    question: Any = {"role": "user", "content": "Rome?"}
    if stream:
        with client.responses.stream(**ask, input=[question]) as events:
            reply: Any = events.until_done().get_final_response()
    else:
        reply = client.responses.create(**ask, input=[question])
    [call] = reply.output
    assert (call.type, call.name, json.loads(call.arguments)) == ("function_call", "weather", {"city": "Rome"})
    told = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    made = {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments}
    last = client.responses.create(**ask, input=[question, made, told])
    assert last.output_text == ANSWER and last.status == "completed"


def test_a_schema(client: openai.OpenAI) -> None:
    wanted: Any = {"format": {"type": "json_schema", "name": "person", "schema": PERSON, "strict": True}}
    reply = client.responses.create(model="lively", input="red", text=wanted)
    jsonschema.validate(json.loads(reply.output_text), PERSON)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type"),
        ({"frob": 1}, "frob"),
        ({"input": []}, None),
        ({"model": "other"}, "model"),
        ({"tools": [TOOL]}, "tools"),
    ],
)
def test_what_cannot_be_done_is_said(client: openai.OpenAI, change: dict[str, Any], param: str | None) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.post("/responses", body={"model": "lively", "input": "x", **change}, cast_to=object)
    assert caught.value.status_code in (400, 404) and (param is None or caught.value.param == param)
