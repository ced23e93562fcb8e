"""How a template of ours writes tools: the schemas, the calls, and what they gave.

Values are written as `apply_chat_template` of transformers writes them, with its `tojson`.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from camelid.message import Message, Tool
from conversations.tokens.jinja_literal import quote
from conversations.tokens.span import Span, loss_weight


@dataclass(frozen=True)
class ToolForm:
    """The strings around tools. In the `*_open`/`*_close` pairs what is written stands between the two.

    Attributes:
        source: where they were published.
        place: who says the schemas: the `system` message, behind its text; or the first `user` turn, before its text.
        between: between that text and the schemas.
        schemas_open, schemas_close: around all schemas.
        schema_open, schema_close: around each.
        indent: blanks by which a schema's JSON is indented; None for one line.
        call_open, call_arguments, call_close: before the name of a function, between it and the arguments, behind them.
        call_between: between a text and a call, and between calls; None if a call stands alone.
        results_open, results_close: around a turn of results.
        result_open, result_close: around each result.
        result_between: between results of one turn; None if each is a turn of its own.
        result_json: whether a result is written as a string of JSON.
    """

    source: str
    place: Literal["system", "user"]
    between: str
    schemas_open: str
    schemas_close: str
    schema_open: str
    schema_close: str
    indent: int | None
    call_open: str
    call_arguments: str
    call_close: str
    call_between: str | None
    results_open: str
    results_close: str
    result_open: str = ""
    result_close: str = ""
    result_between: str | None = None
    result_json: bool = False

    def schemas(self, tools: Sequence[Tool]) -> list[Span]:
        """All schemas."""
        spans = [Span(self.schemas_open, 0.0, False)]
        for tool in tools:
            spans.append(Span(self.schema_open, 0.0, False))
            spans.append(Span(to_json(tool, self.indent), 0.0, True))
            spans.append(Span(self.schema_close, 0.0, False))
        return [*spans, Span(self.schemas_close, 0.0, False)]

    def calls(self, message: Message) -> Iterator[Span]:
        """The calls of an answer, behind its text."""
        weight, done = loss_weight(message), bool(message.content or message.reasoning)
        for call in message.tool_calls:
            yield Span((self.call_between or "") if done else "", weight, False, True)
            yield Span(self.call_open, weight, False, True)
            yield Span(call.name, weight, True, True)
            yield Span(self.call_arguments, weight, False, True)
            yield Span(to_json(json.loads(call.arguments)), weight, True, True)
            yield Span(self.call_close, weight, False, True)
            done = True

    def results(self, turns: Sequence[Message]) -> Iterator[Span]:
        """What calls gave, all turns of it in a row."""
        for index, turn in enumerate(turns):
            begins = index == 0 or self.result_between is None
            ends = index == len(turns) - 1 or self.result_between is None
            before = self.results_open if begins else self.result_between
            yield Span(f"{before}{self.result_open}", 0.0, False)
            yield Span(to_json(turn.content) if self.result_json else turn.content, 0.0, True)
            yield Span(self.result_close + (self.results_close if ends else ""), 0.0, False)

    @property
    def jinja_schemas(self) -> str:
        """Jinja that puts all schemas into `ns.schemas`."""
        indent = "" if self.indent is None else f"(indent={self.indent})"
        one = f"{quote(self.schema_open)} + (tool | tojson{indent}) + {quote(self.schema_close)}"
        return (
            f"{{% set ns.schemas = {quote(self.schemas_open)} %}}"
            f"{{% for tool in tools %}}{{% set ns.schemas = ns.schemas + {one} %}}{{% endfor %}}"
            f"{{% set ns.schemas = ns.schemas + {quote(self.schemas_close)} %}}"
        )

    @property
    def jinja_calls(self) -> str:
        """Jinja that writes the calls of `message`."""
        alone = "{% if message['tool_calls'] | length > 1 or message['content'] %}"
        alone += "{{ raise_exception('a call stands alone') }}{% endif %}"
        between = quote(self.call_between or "")
        return (
            f"{{% if message['tool_calls'] %}}{alone if self.call_between is None else ''}"
            "{% for call in message['tool_calls'] %}{% set call = call['function'] or call %}"
            f"{{{{ ({between} if message['content'] or not loop.first else '') + {quote(self.call_open)} + "
            f"call['name'] + {quote(self.call_arguments)} + "
            "(call['arguments'] if call['arguments'] is string else (call['arguments'] | tojson)) + "
            f"{quote(self.call_close)} }}}}{{% endfor %}}{{% endif %}}"
        )

    @property
    def jinja_results(self) -> str:
        """Jinja that writes `message`, a result, within the loop over all messages."""
        more = "not loop.{0} and loop.{1}item['role'] == 'tool'"
        before, close = quote(self.results_open), f"{{{{ {quote(self.results_close)} }}}}"
        if self.result_between is not None:
            before = f"({quote(self.result_between)} if {more.format('first', 'prev')} else {before})"
            close = f"{{% if not ({more.format('last', 'next')}) %}}{close}{{% endif %}}"
        content = f"message['content']{' | tojson' if self.result_json else ''}"
        return f"{{{{ {before} + {quote(self.result_open)} + ({content}) + {quote(self.result_close)} }}}}{close}"


def to_json(value: Any, indent: int | None = None) -> str:
    """As transformers' `tojson` writes it (`transformers/utils/chat_template_utils.py`)."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


# Hermes's calls and results (github.com/NousResearch/Hermes-Function-Calling), to the letter as Qwen's templates write
# them, which vLLM and SGLang parse as `hermes`.
HERMES = ToolForm(
    source="huggingface.co/Qwen/Qwen2.5-7B-Instruct, tokenizer_config.json",
    place="system",
    between="\n\n",
    schemas_open=(
        "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
        "You are provided with function signatures within <tools></tools> XML tags:\n<tools>"
    ),
    schemas_close=(
        "\n</tools>\n\nFor each function call, return a json object with function name and arguments within "
        '<tool_call></tool_call> XML tags:\n<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n'
        "</tool_call>"
    ),
    schema_open="\n",
    schema_close="",
    indent=None,
    call_open='<tool_call>\n{"name": "',
    call_arguments='", "arguments": ',
    call_close="}\n</tool_call>",
    call_between="\n",
    results_open="<|im_start|>user\n",
    results_close="<|im_end|>\n",
    result_open="<tool_response>\n",
    result_close="\n</tool_response>",
    result_between="\n",
)
# Without the dates that Llama 3.1's template has in its system message.
LLAMA_3_1 = ToolForm(
    source="huggingface.co/meta-llama/Llama-3.1-8B-Instruct, tokenizer_config.json",
    place="user",
    between="",
    schemas_open=(
        "Given the following functions, please respond with a JSON for a function call with its proper arguments that "
        'best answers the given prompt.\n\nRespond in the format {"name": function name, "parameters": dictionary of '
        "argument name and its value}.Do not use variables.\n\n"
    ),
    schemas_close="",
    schema_open="",
    schema_close="\n\n",
    indent=4,
    call_open='{"name": "',
    call_arguments='", "parameters": ',
    call_close="}",
    call_between=None,
    results_open="<|start_header_id|>ipython<|end_header_id|>\n\n",
    results_close="<|eot_id|>",
    result_json=True,
)
