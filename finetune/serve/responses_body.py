"""Requests to `/v1/responses`, as chats: OpenAI's newer words for the same things."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from finetune.serve.bodies import MOST_ITEMS, MOST_TOOLS, ChatBody


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class ContentPart(_Given):
    type: Literal["input_text", "output_text", "text"]
    text: str
    annotations: list[Any] | None = None
    logprobs: list[Any] | None = None


class TurnItem(_Given):
    """A turn of the chat."""

    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[ContentPart]
    id: str | None = None
    status: str | None = None
    phase: str | None = None


class CallItem(_Given):
    """A call that the model has made."""

    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str
    id: str | None = None
    status: str | None = None


class ResultItem(_Given):
    """What a call gave."""

    type: Literal["function_call_output"]
    call_id: str
    output: str | list[ContentPart]
    id: str | None = None
    status: str | None = None


class TextFormat(_Given):
    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    description: str | None = None
    json_schema: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None


class TextSettings(_Given):
    format: TextFormat | None = None
    verbosity: None = None


class ResponsesTool(_Given):
    type: Literal["function"]
    name: str = Field(min_length=1, max_length=64)
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ResponsesChoice(_Given):
    type: Literal["function"]
    name: str


class ResponsesBody(_Given):
    """A request. Nothing is stored, so no request can go on from an earlier one; `store` changes nothing."""

    model: str = Field(max_length=1000)
    input: str | Annotated[list[TurnItem | CallItem | ResultItem], Field(min_length=1, max_length=MOST_ITEMS)]
    instructions: str | None = None
    max_output_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    stream: bool | None = False
    text: TextSettings | None = None
    tools: list[ResponsesTool] | None = Field(None, max_length=MOST_TOOLS)
    tool_choice: Literal["none", "auto", "required"] | ResponsesChoice | None = None
    parallel_tool_calls: bool | None = None
    previous_response_id: None = None
    conversation: None = None
    background: Literal[False] | None = None
    truncation: Literal["disabled"] | None = None
    top_logprobs: Literal[0] | None = None
    reasoning: None = None
    include: list[str] | None = Field(None, max_length=0)
    # What changes nothing here.
    store: bool | None = None
    metadata: dict[str, str] | None = None
    user: str | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None

    def chat(self) -> ChatBody:
        """The same as a chat."""
        system = [] if self.instructions is None else [{"role": "system", "content": self.instructions}]
        items = [TurnItem(role="user", content=self.input)] if isinstance(self.input, str) else self.input
        wanted: dict[str, Any] = {
            "max_completion_tokens": self.max_output_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "parallel_tool_calls": self.parallel_tool_calls,
            "tool_choice": self.tool_choice if self.tools else None,
            "tools": [_tool(tool) for tool in self.tools] if self.tools else None,
            "response_format": _response_format(self.text),
        }
        if isinstance(self.tool_choice, ResponsesChoice):
            wanted["tool_choice"] = {"type": "function", "function": {"name": self.tool_choice.name}}
        messages = [*system, *map(_message, items)]
        given = {name: value for name, value in wanted.items() if value is not None}
        return ChatBody.model_validate({"model": self.model, "messages": messages, **given})


def _message(item: TurnItem | CallItem | ResultItem) -> dict[str, Any]:
    if isinstance(item, TurnItem):
        return {"role": item.role, "content": _text(item.content)}
    if isinstance(item, ResultItem):
        return {"role": "tool", "tool_call_id": item.call_id, "content": _text(item.output)}
    function = {"name": item.name, "arguments": item.arguments}
    return {"role": "assistant", "tool_calls": [{"id": item.call_id, "type": "function", "function": function}]}


def _text(content: str | list[ContentPart]) -> str:
    return content if isinstance(content, str) else "".join(part.text for part in content)


def _tool(tool: ResponsesTool) -> dict[str, Any]:
    return {"type": "function", "function": tool.model_dump(exclude={"type"}, exclude_none=True)}


def _response_format(text: TextSettings | None) -> dict[str, Any] | None:
    if text is None or text.format is None:
        return None
    if text.format.type != "json_schema":
        return {"type": text.format.type}
    return {"type": "json_schema", "json_schema": {"name": text.format.name or "", "schema": text.format.json_schema}}
