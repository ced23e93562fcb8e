"""Tools in our own templates: to the letter as published, and as the Jinja that is saved with a model writes them."""

import copy
import json
import random
from typing import Any

import pytest

from camelid.errors import UserError
from camelid.message import Conversation, Message, ToolCall
from conversations.tokens.jinja_template import JinjaTemplate
from conversations.tokens.template import TEMPLATES, Template, get_template
from conversations.tokens.tokenize import Encoder
from tests.conversations.conftest import byte_level
from tests.conversations.tokens.tool_chats import as_transformers, chat

# Of each template with tools, how many calls it takes at once, and whether it takes a text beside them.
TOOLS = {"chatml": (2, True), "llama-3": (1, False)}
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "description": "Of a city.", "parameters": {"type": "object", "properties": {}}},
}


@pytest.fixture
def tokenizer() -> Any:
    return copy.copy(byte_level().tokenizer)  # tests give it chat templates


def render(tokenizer: Any, conversation: Conversation, ask: bool = False) -> str:
    found = tokenizer.apply_chat_template(
        as_transformers(conversation.messages),
        tools=list(conversation.tools) or None,
        tokenize=False,
        add_generation_prompt=ask,
    )
    assert isinstance(found, str)
    return found


ASKED = (
    Message("system", "Be kind."),
    Message("user", "Rome?"),
    Message("assistant", "", tool_calls=(ToolCall("weather", '{"city": "Rome"}'),)),
    Message("tool", "sunny"),
)
SCHEMA = json.dumps(WEATHER)
PROMPTS = {
    "chatml": f"""<|im_start|>system
Be kind.

# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{SCHEMA}
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{{"name": <function-name>, "arguments": <args-json-object>}}
</tool_call><|im_end|>
<|im_start|>user
Rome?<|im_end|>
<|im_start|>assistant
<tool_call>
{{"name": "weather", "arguments": {{"city": "Rome"}}}}
</tool_call><|im_end|>
<|im_start|>user
<tool_response>
sunny
</tool_response><|im_end|>
<|im_start|>assistant
""",
    "llama-3": f"""<|begin_of_text|><|start_header_id|>system<|end_header_id|>

Be kind.<|eot_id|><|start_header_id|>user<|end_header_id|>

Given the following functions, please respond with a JSON for a function call with its proper arguments that best \
answers the given prompt.

Respond in the format {{"name": function name, "parameters": dictionary of argument name and its value}}.Do not use \
variables.

{json.dumps(WEATHER, indent=4)}

Rome?<|eot_id|><|start_header_id|>assistant<|end_header_id|>

{{"name": "weather", "parameters": {{"city": "Rome"}}}}<|eot_id|><|start_header_id|>ipython<|end_header_id|>

"sunny"<|eot_id|><|start_header_id|>assistant<|end_header_id|>

""",
}


@pytest.mark.parametrize("name", sorted(TOOLS))
def test_tools_are_written_as_published(name: str) -> None:
    """As Qwen2.5's template, in Hermes's format, and as Llama 3.1's, without the dates."""
    template = get_template(name)
    assert "".join(span.text for span in template.prompt(ASKED, [WEATHER])) == PROMPTS[name]
    typed = [span.text for span in template.prompt(ASKED, [WEATHER]) if span.typed]
    assert {"Rome?", "weather", '{"city": "Rome"}'} < set(typed)


@pytest.mark.parametrize("name", sorted(TOOLS))
def test_the_jinja_that_is_saved_writes_the_same(tokenizer: Any, name: str) -> None:
    template, rng = get_template(name), random.Random(name)
    calls, beside = TOOLS[name]
    tokenizer.chat_template = template.jinja
    derived = JinjaTemplate(tokenizer)
    for _ in range(60):
        one = chat(rng, calls=calls, beside=beside, thinking=0.0)
        assert "".join(span.text for span in template.spans(one)) == render(tokenizer, one)
        for weight in (0.5, 1.0):  # the derivation, knowing the Jinja alone, finds what the template's fields say
            found, said = (
                "".join(span.text for span in one_of.spans(one) if span.weight == weight)
                for one_of in (derived, template)
            )
            assert found == said


@pytest.mark.parametrize("name", sorted(TOOLS))
def test_prompts_are_prefixes_and_calls_are_trained(tokenizer_family: Any, name: str) -> None:
    tokenizer, rng = tokenizer_family.tokenizer, random.Random(name)
    calls, beside = TOOLS[name]
    encoder = Encoder(get_template(name), tokenizer, thinking="train")
    for _ in range(25):
        one = chat(rng, calls=calls, beside=beside)
        tokens = encoder.encode(one)
        for index, message in enumerate(one.messages):
            if message.role == "assistant":
                prompt = encoder.encode_prompt(one.messages[:index], one.tools)
                assert tokens.ids[: len(prompt)].tolist() == prompt


def test_results_and_schemas_are_never_trained_and_nothing_typed_is_a_control_token(tokenizer: Any) -> None:
    call = Message("assistant", "", tool_calls=(ToolCall("weather", '{"city": "</s><|im_end|>"}'),))
    turns = (Message("user", "q"), call, Message("tool", "sun <|im_end|>"), Message("assistant", "It is sunny."))
    tokens = Encoder(get_template("chatml"), tokenizer).encode(Conversation("c", turns, {}, (WEATHER,)))
    trained = tokenizer.decode(tokens.ids[tokens.weights > 0], clean_up_tokenization_spaces=False)
    assert "sun " not in trained and "Of a city" not in trained and "tool_call" in trained and "city" in trained
    ends = tokens.ids == tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert tokens.weights[ends].tolist() == [0, 0, 1, 0, 1]


@pytest.mark.parametrize("name", sorted(set(TEMPLATES) - set(TOOLS)))
def test_a_template_without_tools_says_so(name: str) -> None:
    template: Template = get_template(name)
    with pytest.raises(UserError, match=f"template '{name}' writes no tools"):
        template.spans(Conversation("c", (Message("user", "q"), Message("assistant", "a")), {}, (WEATHER,)))
    with pytest.raises(UserError, match="writes no tools"):
        template.prompt([Message("user", "q"), Message("assistant", "", tool_calls=(ToolCall("f", "{}"),))])
