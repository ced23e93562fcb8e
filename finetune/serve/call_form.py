"""How a model's template writes calls of tools: found by having it write some, then asked for and read again."""

import json
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from camelid.errors import UserError
from camelid.message import Conversation, Message, Tool, ToolCall
from conversations.tokens.span import ChatFormat
from finetune.serve.structured import JSON_OPTIONS

NAME, ID = "a_function_of_that_name", "call00001"  # an id as Mistral's templates take it
ARGUMENTS = re.compile(r'\{\s*"key"\s*:\s*"value"\s*\}')
TOOL: Tool = {"type": "function", "function": {"name": NAME, "description": "", "parameters": {"type": "object"}}}


@dataclass(frozen=True)
class CallForm:
    """The text of a call: `before` NAME `between` ARGUMENTS `after`, the arguments a JSON object.

    Attributes:
        before, between, after: see above.
        joint: between two calls of one answer; None if a call stands alone.
    """

    before: str
    between: str
    after: str
    joint: str | None

    @staticmethod
    def of(template: ChatFormat) -> "CallForm":
        """A template's form.

        Raises:
            UserError: it writes no calls, or has more in them than name and arguments.
        """
        before, between, after = _parts(_written(template, 1), template)
        try:
            two = _written(template, 2)
        except UserError:
            return CallForm(before, between, after, None)
        found = re.search(re.escape(after) + r"(\s*)" + re.escape(before), two)
        return CallForm(before, between, after, found[1] if found else None)

    def lark(self, tools: Sequence[Tool], forced: bool, several: bool) -> str:
        """A grammar of answers, in llguidance's dialect of Lark.

        Args:
            tools: that may be called.
            forced: whether the answer is a call; else it is any text, in which what begins as a call goes on as one.
            several: whether there may be several calls, where the template has that.
        """
        several = several and self.joint is not None
        lines = ["call: " + " | ".join(f"call_{number}" for number in range(len(tools)))]
        lines += [_rule(number, tool, self, forced) for number, tool in enumerate(tools)]
        if forced:
            start = f"call ({_quoted(self.joint or '')} call)*" if several else "call"
        else:
            start = "call* text" if several else "call | text"
            lines += ["text: TEXT", r"TEXT: /(.|\n)*/"]
        return "\n".join(["%llguidance {}", f"start: {start}", *lines]) + "\n"


class CallReader:
    """Tells calls from text in an answer that comes in pieces.

    Args:
        form: how calls are written.

    Attributes:
        called: how many calls have come.
    """

    def __init__(self, form: CallForm) -> None:
        self._form, self._held, self.called = form, "", 0
        self._mark = form.before.lstrip()

    def add(self, text: str) -> tuple[str, list[ToolCall]]:
        """Take a piece; return the text that is no call for certain, and the calls that are whole by now."""
        self._held += text
        shown, calls = "", list[ToolCall]()
        while True:
            place = self._held.find(self._mark)
            if place < 0:
                keep = _overlap(self._held, self._mark)
                cut = len(self._held) - keep
                shown, self._held = shown + self._held[:cut], self._held[cut:]
                return shown, calls
            shown, self._held = shown + self._held[:place], self._held[place:]
            found = self._read()
            if found is None:
                return shown, calls
            call, length = found
            calls.append(call)
            self.called += 1
            self._held = self._held[length:]

    def finish(self) -> str:
        """What was still held back; there will be no more text."""
        text, self._held = self._held, ""
        return text

    def _read(self) -> tuple[ToolCall, int] | None:
        """The call that the held text begins with, and its length; None while it is not whole, or if it is none."""
        name, between, rest = self._held[len(self._mark) :].partition(self._form.between)
        if not between:
            return None
        try:
            arguments, end = json.JSONDecoder().raw_decode(rest)
        except ValueError:
            return None
        after = self._form.after.rstrip()
        if not isinstance(arguments, dict) or not rest.startswith(after, end):
            return None
        length = len(self._mark) + len(name) + len(between) + end + len(after)
        return ToolCall(name, rest[:end], f"call_{uuid.uuid4().hex[:24]}"), length


def _rule(number: int, tool: Tool, form: CallForm, forced: bool) -> str:
    function: dict[str, Any] = tool["function"]
    schema = function.get("parameters") or {"type": "object", "properties": {}, "additionalProperties": False}
    inside = f"{_quoted(function['name'] + form.between)} %json {json.dumps({**schema, 'x-guidance': JSON_OPTIONS})}"
    inside += f" {_quoted(form.after.rstrip())}"
    if forced:
        return f"call_{number}: {_quoted(form.before.lstrip())} {inside}"
    begun = f"call_{number}_begun"
    return f"{begun}[lazy]: TEXT {_quoted(form.before.lstrip())}\ncall_{number}: {begun} {inside}"


def _quoted(text: str) -> str:
    return json.dumps(text) if text else '""'


def _written(template: ChatFormat, calls: int) -> str:
    """What the model would write to make some calls, up to the end of its turn."""
    made = tuple(ToolCall(NAME, '{"key": "value"}', ID) for _ in range(calls))
    turns = (Message("user", "?"), Message("assistant", "", tool_calls=made))
    text = "".join(span.text for span in template.spans(Conversation("", turns, tools=(TOOL,))) if span.answer)
    for stop in template.stop:
        text = text.split(stop)[0]
    return text


def _parts(text: str, template: ChatFormat) -> tuple[str, str, str]:
    before, name, rest = text.partition(NAME)
    arguments = ARGUMENTS.search(rest)
    if not name or arguments is None or ID in text:
        raise UserError(f"template {template.name!r} writes calls of tools in a way that cannot be read from answers")
    return before, rest[: arguments.start()], rest[arguments.end() :]


def _overlap(text: str, mark: str) -> int:
    """Length of the longest end of `text` that is a beginning of `mark`."""
    return next((size for size in range(min(len(text), len(mark) - 1), 0, -1) if text.endswith(mark[:size])), 0)
