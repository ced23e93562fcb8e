"""Answers that keep to a schema or to a regular expression, whatever a random model would say."""

import dataclasses
import json
import random
import re
import statistics
import time
from typing import Any

import jsonschema
import openai
import pytest

from finetune.folders import weights
from finetune.generate.decode import generate
from finetune.generate.grammar import GrammarTokenizer
from finetune.generate.sampling import Sampling
from finetune.serve.served import ServedModel
from finetune.serve.structured import grammar_of_schema
from tests.finetune.serve.random_schemas import random_schema
from tests.finetune.serve.serving import Running

PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 6},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "likes": {"type": "array", "items": {"enum": ["cats", "dogs"]}, "maxItems": 2},
    },
    "required": ["name", "age", "likes"],
    "additionalProperties": False,
}


@pytest.fixture
def client(running: Running) -> openai.OpenAI:
    return openai.OpenAI(base_url=running.url, api_key="none", max_retries=0)


@pytest.fixture(scope="module")
def tokens(served: ServedModel) -> GrammarTokenizer:
    return GrammarTokenizer(served.tokenizer, served.model.config.vocab_size, served.end_ids)


def ask(client: openai.OpenAI, **more: Any) -> Any:
    asked = {"model": "lively", "messages": [{"role": "user", "content": "red cat"}], "max_tokens": 150, "seed": 3}
    return client.chat.completions.create(**{**asked, **more})


def check_random_schemas(served: ServedModel, tokens: GrammarTokenizer, count: int) -> None:
    """Of the answers that come to their end every one is valid, and most come to it."""
    rng = random.Random(count)
    ended = 0
    for number in range(count):
        schema = random_schema(rng)
        sampling = Sampling(180, temperature=1.0, grammar=grammar_of_schema(schema, tokens, "response_format"))
        [answer] = generate(served.model, [[5, 9]], [number], served.tokenizer, served.end_ids, sampling)
        if answer.finish_reason == "stop":
            ended += 1
            validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
            validator.validate(json.loads(answer.text))
    assert ended > 0.9 * count


def test_random_schemas(served: ServedModel, tokens: GrammarTokenizer) -> None:
    check_random_schemas(served, tokens, 15)


@pytest.mark.slow
def test_500_random_schemas(served: ServedModel, tokens: GrammarTokenizer) -> None:
    check_random_schemas(served, tokens, 500)


@pytest.mark.slow
def test_a_schema_makes_no_token_a_fifth_slower(served: ServedModel, tokens: GrammarTokenizer) -> None:
    """Against free text of as many tokens, in processor time; a model of the demo's shape, an answer at a time."""
    shape = dataclasses.replace(
        served.model.config,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=6,
        head_dim=32,
    )
    model = weights.init_model(shape, seed=1).eval()
    text = {"type": "string", "minLength": 120, "maxLength": 400}
    schema = {"type": "object", "properties": {"a": text}, "required": ["a"], "additionalProperties": False}
    grammar = grammar_of_schema(schema, tokens, "response_format")
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(30):
        for kept in (True, False):
            sampling = Sampling(100, temperature=1.0, grammar=grammar if kept else None)
            began = time.process_time()
            [answer] = generate(model, [[5, 9]], [seed], served.tokenizer, [], sampling)
            seconds[kept].append((time.process_time() - began) / len(answer.ids))
    assert statistics.median(seconds[True]) <= 1.2 * statistics.median(seconds[False])


@pytest.mark.parametrize("stream", [False, True])
def test_a_schema(client: openai.OpenAI, stream: bool) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}}
    reply = ask(client, response_format=wanted, n=3, stream=stream)
    texts = ["", "", ""]
    for chunk in reply if stream else [reply]:
        for choice in chunk.choices:
            texts[choice.index] += (choice.delta if stream else choice.message).content or ""
            assert choice.finish_reason in (None, "stop")
    for text in texts:
        jsonschema.validate(json.loads(text), PERSON)
    assert len(set(texts)) == 3


def test_it_ends_where_nothing_more_may_come(client: openai.OpenAI) -> None:
    """Without a token for it, so that the limit may be as short as the answer."""
    reply = ask(client, response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {"const": 7}}})
    assert (reply.choices[0].message.content, reply.choices[0].finish_reason) == ("7", "stop")
    cut = ask(client, extra_body={"regex": "cat.{40}"}, max_tokens=5)
    assert cut.choices[0].finish_reason == "length" and cut.choices[0].message.content.startswith("cat")


def test_any_object_and_regular_expressions(client: openai.OpenAI) -> None:
    reply = ask(client, response_format={"type": "json_object"}, max_tokens=200, n=4)
    ended = [choice for choice in reply.choices if choice.finish_reason == "stop"]
    assert all(isinstance(json.loads(choice.message.content), dict) for choice in ended)
    assert all(choice.message.content.startswith("{") for choice in reply.choices)
    date = r"[0-9]{4}-[01][0-9]-[0-3][0-9]"
    reply = ask(client, extra_body={"regex": date}, n=2)
    assert all(re.fullmatch(date, choice.message.content) for choice in reply.choices)
    completion = client.completions.create(model="lively", prompt="red", extra_body={"regex": " (cat|dog)s"})
    assert completion.choices[0].text in (" cats", " dogs")
    plain = ask(client, response_format={"type": "text"}, temperature=0)
    assert plain.choices[0].message.content == ask(client, temperature=0).choices[0].message.content


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"not": {"type": "string"}}, "'not'"),
        ({"type": "array", "items": {"type": "integer"}, "uniqueItems": True}, "'uniqueItems'"),
        ({"type": "object", "properties": {"a": {"contains": {"const": 1}}}}, "'contains'"),
        ({"type": "string", "format": "knitting"}, "knitting"),
        ({"type": "strin"}, "strin"),
        ({"$ref": "https://example.com/x"}, "https://example.com/x"),
    ],
)
def test_what_cannot_be_kept_to_is_refused_by_name(client: openai.OpenAI, schema: dict[str, Any], why: str) -> None:
    with pytest.raises(openai.BadRequestError, match=re.escape(why)) as caught:
        ask(client, response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}})
    assert caught.value.param == "response_format"
    with pytest.raises(openai.BadRequestError, match="look-around") as caught:
        ask(client, extra_body={"regex": "a(?=b)"})
    assert caught.value.param == "regex"
