"""Request bodies of OpenAI's protocol, checked: what is not understood is refused, never ignored."""

import secrets
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from camelid.message import Message, Role, Tool, read_tool_calls
from finetune.generate.local import DEFAULT_NEW_TOKENS
from finetune.generate.sampling import Sampling

DEFAULT_COMPLETION_TOKENS = 16  # of a completion (OpenAI API reference, completions, max_tokens)
MOST_ANSWERS = 16  # to one prompt
MOST_PROMPTS = 128  # of one request
GREEDY_BELOW = 1e-5  # a temperature that small is 0 (vLLM, sampling_params.py, _SAMPLING_EPS)

TokenIds = Annotated[list[int], Field(fail_fast=True)]
StopString = Annotated[str, Field(min_length=1, max_length=1000)]


# pydantic describes every error it finds; a body of a million wrong items would take it a minute and gigabytes.
MOST_KEYS = 64  # of one object
MOST_TOOLS = 128  # of one request (OpenAI API reference, chat completions)
MOST_ITEMS = 4096  # messages of a chat, parts of a message


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _small(cls, value: Any) -> Any:
        if isinstance(value, dict) and len(value) > MOST_KEYS:
            raise ValueError(f"more than {MOST_KEYS} fields")
        return value


class StreamOptions(_Body):
    include_usage: bool = False
    include_obfuscation: bool = False  # never sent; this server is yours


class JsonSchema(_Body):
    """A schema and its name; it is kept to whether or not the request calls that strict."""

    name: str = Field("", max_length=1000)
    description: str | None = None
    json_schema: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class ResponseFormat(_Body):
    """OpenAI's; `schema` is the schema that the answer shall keep to."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _says_which(self) -> "ResponseFormat":
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("'json_schema' goes with type 'json_schema', and only with it")
        return self

    @property
    def schema_of_answers(self) -> dict[str, Any] | None:
        """The schema that answers shall keep to; None if they may be any text."""
        if self.json_schema is not None:
            return self.json_schema.json_schema
        return {"type": "object"} if self.type == "json_object" else None


class CalledFunction(_Body):
    name: str = Field(max_length=1000)
    arguments: str


class MadeCall(_Body):
    """A call that an assistant's turn has made."""

    id: str = Field(max_length=1000)
    type: Literal["function"] = "function"
    function: CalledFunction
    index: int | None = None  # of streams


class FunctionTool(_Body):
    """What a function takes; a strict one or not, calls keep to its schema."""

    name: str = Field(min_length=1, max_length=64)
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ToolBody(_Body):
    type: Literal["function"]
    function: FunctionTool

    def tool(self) -> Tool:
        given = self.function.model_dump(exclude_none=True, exclude={"strict"})
        return {"type": "function", "function": {"description": "", "parameters": {"type": "object"}, **given}}


class NamedFunction(_Body):
    name: str


class NamedChoice(_Body):
    type: Literal["function"]
    function: NamedFunction


class TextPart(_Body):
    type: Literal["text"]
    text: str


class ChatMessage(_Body):
    """One turn; `developer` is OpenAI's newer word for `system`."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | Annotated[list[TextPart], Field(max_length=MOST_ITEMS, fail_fast=True)] | None = None
    name: str | None = None
    tool_calls: list[MadeCall] | None = None
    tool_call_id: str | None = None
    refusal: None = None
    annotations: list[Any] | None = None  # of answers that clients send back; there are none
    audio: None = None
    function_call: None = None
    reasoning_content: str | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "ChatMessage":
        if self.tool_calls and self.role != "assistant":
            raise ValueError("only an assistant's turn has 'tool_calls'")
        if self.content is None and not self.tool_calls and self.role != "assistant":
            raise ValueError("'content' must be a text")
        return self

    def message(self) -> Message:
        role: Role = "system" if self.role == "developer" else self.role
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content or ())
        calls = [call.model_dump(exclude={"index"}) for call in self.tool_calls or ()]
        return Message(
            role,
            text,
            reasoning=self.reasoning_content or None,
            meta={"name": self.name} if self.name else {},
            tool_calls=read_tool_calls(calls, "tool_calls"),
            tool_call_id=self.tool_call_id,
        )


class _Generation(_Body):
    """What chats and completions have in common. Limits are OpenAI's where it has the field.

    `top_k`, `min_p` and `repetition_penalty` are vLLM's, `regex` SGLang's. The last fields are accepted because they
    change nothing here.
    """

    model: str = Field(max_length=1000)
    n: int = Field(1, ge=1, le=MOST_ANSWERS)
    max_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(1.0, ge=0, le=2)
    top_p: float | None = Field(1.0, gt=0, le=1)
    top_k: int | None = Field(0, ge=-1)
    repetition_penalty: float | None = Field(1.0, gt=0, le=10)
    min_p: float | None = Field(0.0, ge=0, le=1)
    presence_penalty: float | None = Field(0.0, ge=-2, le=2)
    frequency_penalty: float | None = Field(0.0, ge=-2, le=2)
    regex: str | None = Field(None, max_length=10_000)
    logit_bias: None = None
    stop: StopString | Annotated[list[StopString], Field(max_length=16)] | None = None
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stream: bool = False
    stream_options: StreamOptions | None = None
    user: str | None = None

    @field_validator("logit_bias", mode="before")
    @classmethod
    def _no_bias(cls, value: Any) -> Any:
        if value:
            raise ValueError("is not supported")
        return None

    @field_validator("stream", mode="before")
    @classmethod
    def _null_is_off(cls, value: Any) -> Any:
        return False if value is None else value

    @field_validator("n", mode="before")
    @classmethod
    def _null_is_one(cls, value: Any) -> Any:
        return 1 if value is None else value

    def _sampling(self, default_tokens: int, top_logprobs: int | None) -> Sampling:
        temperature = 1.0 if self.temperature is None else self.temperature
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        return Sampling(
            max_new_tokens=default_tokens if self.max_tokens is None else self.max_tokens,
            temperature=0.0 if temperature < GREEDY_BELOW else temperature,
            top_p=1.0 if self.top_p is None else self.top_p,
            stop=stop,
            top_k=max(0, self.top_k or 0),
            repetition_penalty=1.0 if self.repetition_penalty is None else self.repetition_penalty,
            top_logprobs=top_logprobs,
            min_p=self.min_p or 0.0,
            presence_penalty=self.presence_penalty or 0.0,
            frequency_penalty=self.frequency_penalty or 0.0,
        )

    def seeds(self) -> list[int]:
        """One for each answer; the request's own seed makes them the same every time."""
        first = secrets.randbits(62) if self.seed is None else self.seed
        return [(first + index) % 2**63 for index in range(self.n)]

    @property
    def usage_in_stream(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)


class ChatBody(_Generation):
    messages: list[ChatMessage] = Field(min_length=1, max_length=MOST_ITEMS, fail_fast=True)
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool | None = False
    top_logprobs: int | None = Field(None, ge=0, le=20)
    response_format: ResponseFormat | None = None
    tools: list[ToolBody] | None = Field(None, max_length=MOST_TOOLS)
    tool_choice: Literal["none", "auto", "required"] | NamedChoice | None = None
    parallel_tool_calls: bool | None = None
    metadata: Any = None
    store: Literal[False] | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None

    @model_validator(mode="after")
    def _one_shape(self) -> "ChatBody":
        schema = None if self.response_format is None else self.response_format.schema_of_answers
        if sum(map(bool, (schema is not None, self.regex is not None, self.tools_of_answers))) > 1:
            raise ValueError("give only one of 'response_format', 'regex' and 'tools' that may be called")
        if isinstance(self.tool_choice, NamedChoice) and not self.tools_of_answers:
            raise ValueError(f"'tool_choice' names {self.tool_choice.function.name!r}, which 'tools' lacks")
        if self.tool_choice == "required" and not self.tools:
            raise ValueError("'tool_choice' is 'required', and there are no 'tools'")
        return self

    @property
    def must_call(self) -> bool:
        """Whether answers are calls."""
        return self.tool_choice == "required" or isinstance(self.tool_choice, NamedChoice)

    @property
    def tools_of_answers(self) -> list[Tool]:
        """What answers may call."""
        if self.tool_choice == "none":
            return []
        named = self.tool_choice.function.name if isinstance(self.tool_choice, NamedChoice) else None
        return [tool.tool() for tool in self.tools or () if named in (None, tool.function.name)]

    def sampling(self) -> Sampling:
        top_logprobs = (self.top_logprobs or 0) if self.logprobs else None
        return self._sampling(self.max_completion_tokens or DEFAULT_NEW_TOKENS, top_logprobs)


class CompletionBody(_Generation):
    """A raw prompt: text, in which the tokenizer's special tokens count, or token ids; or several of either.

    With `echo` the reply begins with the prompt and says how likely that was, if `logprobs` asks; 0 tokens more are
    enough then. With a suffix, the prompt is what stands before a hole, and both are plain text.
    """

    prompt: (
        str | TokenIds | Annotated[list[str], Field(fail_fast=True)] | Annotated[list[TokenIds], Field(fail_fast=True)]
    )
    max_tokens: int | None = Field(None, ge=0)
    logprobs: int | None = Field(None, ge=0, le=20)
    best_of: Literal[1] | None = None
    echo: bool | None = None
    suffix: str | None = None

    @model_validator(mode="after")
    def _text_around_a_hole(self) -> "CompletionBody":
        if self.suffix is not None and any(isinstance(prompt, list) for prompt in self.prompts()):
            raise ValueError("with 'suffix' the prompt must be text, not token ids")
        if self.suffix is not None and self.echo:
            raise ValueError("'echo' does not go with 'suffix': there is no prompt that the middle follows")
        return self

    @model_validator(mode="after")
    def _something_to_say(self) -> "CompletionBody":
        if self.max_tokens == 0 and not self.echo:
            raise ValueError("'max_tokens' of 0 goes with 'echo' alone")
        return self

    def prompts(self) -> list[str | list[int]]:
        if isinstance(self.prompt, str):
            return [self.prompt]
        if self.prompt and isinstance(self.prompt[0], int):
            return [[int(token) for token in self.prompt if isinstance(token, int)]]
        return [item for item in self.prompt if not isinstance(item, int)]

    def sampling(self) -> Sampling:
        sampling = self._sampling(DEFAULT_COMPLETION_TOKENS, self.logprobs)
        return replace(sampling, prompt_logprobs=self.logprobs) if self.echo else sampling


class PairSide(_Body):
    """Who answers on one side of a comparison.

    Attributes:
        model: as it is served.
        temperature: of this side alone; None leaves it to the request.
        system: the system message of this side alone, "" for none; None leaves it to the request.
    """

    model: str = Field(max_length=1000)
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    system: str | None = None


class PairBody(_Body):
    """A question for two contestants.

    Attributes:
        messages: the chat up to the user's last turn.
        sides: who answers, two that differ; None draws two models.
    """

    messages: list[ChatMessage] = Field(min_length=1, max_length=MOST_ITEMS, fail_fast=True)
    sides: list[PairSide] | None = Field(None, min_length=2, max_length=2)

    @field_validator("messages")
    @classmethod
    def _ask(cls, value: list[ChatMessage]) -> list[ChatMessage]:
        if value[-1].role != "user" or not value[-1].message().content.strip():
            raise ValueError("must end with what the user asks")
        return value

    @field_validator("sides")
    @classmethod
    def _differ(cls, value: list[PairSide] | None) -> list[PairSide] | None:
        if value and value[0] == value[1]:
            raise ValueError("must differ: in their model, temperature or system message")
        return value


class VoteBody(_Body):
    """A person's verdict on the two answers of a pair.

    Attributes:
        pair: the id that asking gave.
        answers: in the order of the pair's models.
        finish_reasons: of the answers, as the server gave them; null where one was stopped.
        winner: which answer was better.
    """

    pair: str = Field(max_length=100)
    answers: list[str] = Field(min_length=2, max_length=2)
    finish_reasons: list[str | None] = Field(min_length=2, max_length=2)
    winner: Literal["first", "second", "tie"]

    @field_validator("finish_reasons")
    @classmethod
    def _finished(cls, value: list[str | None]) -> list[str | None]:
        for name, reason in zip("AB", value, strict=True):
            if reason not in ("stop", "length"):
                raise ValueError(f"answer {name} did not come to its end; a vote needs two whole answers")
        return value

    @field_validator("answers")
    @classmethod
    def _say_something(cls, value: list[str]) -> list[str]:
        if not any(text.strip() for text in value):
            raise ValueError("both are empty; a vote needs something to compare")
        return value
