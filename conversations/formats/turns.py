"""Turns listed in a field of a record, each with its speaker and its text, as most data sets have them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from camelid.errors import UserError, suggest_name
from camelid.files.read import Record
from camelid.message import Message, Role, ToolCall, merge_meta, read_tool_call, record_id
from camelid.text.thinking import find_thinking
from camelid.text.tool_calls import find_calls, read_object, split_results
from conversations.formats.chat import (
    CONTINUED,
    ENDLESS,
    NO_TEXT,
    TOOL,
    UNEQUAL,
    Chat,
    LostTurn,
    continue_answer,
    make_chat,
    media_reason,
)
from conversations.formats.fields import KnownFields, as_json, text_field
from conversations.formats.media import MEDIA_FIELDS, media_field, placed_mark
from conversations.formats.parts import Content, join_parts, join_reasoning
from conversations.formats.weights import WEIGHTS, read_weight, smallest

# OpenAI's roles; Gemini's `model`; and the names seen in ShareGPT exports, github.com/lm-sys/FastChat,
# fastchat/data/clean_sharegpt.py.
ROLES: dict[str, Role] = {
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bing", "bard", "bot", "model", "claude"), "assistant"),
    **dict.fromkeys(("system", "developer"), "system"),
}
# Who is a tool, and who calls one in a turn that is the call alone: OpenAI, LLaMA-Factory (`function_call`,
# `observation`), Hermes, Llama 3.1 (`ipython`).
_TOOL_ROLES = frozenset(("tool", "function", "function_response", "tool_response", "observation", "ipython"))
_CALLING_ROLES = frozenset(("function_call", "tool_call"))
_SPEAKERS, _TEXTS = ("role", "from"), ("content", "value")
_CALLS = ("tool_calls", "function_call")
_CALL_IDS = ("tool_call_id", "call_id", "tool_use_id")  # OpenAI's two protocols; Anthropic
_REASONING = ("reasoning_content", "reasoning", "thinking")  # DeepSeek and vLLM; OpenRouter; Ollama and gpt-oss
_PAGE_MARKUP = ("<div", "<p>")  # what answers copied from a chat page begin with
_BEGUN = ("prefix", "partial")  # an answer begun for the assistant: DeepSeek and Mistral; Moonshot and Qwen

# Besides its speaker and its text.
TURN = KnownFields(frozenset((*_CALLS, *_BEGUN, "truncated")) | WEIGHTS | MEDIA_FIELDS)


def _found(item: Record, name: str, others: Sequence[str]) -> str:
    """The name by which a turn has its speaker or its text: the format's own, or what others call it."""
    return name if name in item else next((other for other in others if other in item), name)


def read_text(role: Role, text: str, tools: bool = False) -> Message | LostTurn:
    """A turn that is a text: with its thoughts and calls apart, or lost if it shows an image or only thinks.

    Args:
        role: who speaks.
        text: what is said.
        tools: whether calls can be told apart; else a turn that calls a tool is lost.
    """
    if role in ("system", "tool"):
        return Message(role, text)
    if role == "user":
        mark = placed_mark(text) if "<" in text else None
        return LostTurn(media_reason(mark), with_exchange=True, role=role) if mark else Message(role, text)
    calls: tuple[ToolCall, ...] = ()
    thought, said = find_thinking(text), text
    if thought is not None:
        if thought.answer is None:
            return LostTurn(ENDLESS, with_exchange=True)
        said = thought.answer
    if "<tool_call>" in said and "</tool_call>" in said:  # Hermes's and Qwen's calls
        called = find_calls(said) if tools else None
        if called is None:
            return LostTurn(TOOL, with_exchange=True)
        said, calls = called
    return Message(role, said, reasoning=(thought and thought.thinking) or None, tool_calls=calls)


def read_field(role: Role, record: Record, name: str, place: str) -> Message | LostTurn:
    """A turn that is a field of a record; null is a turn without a text.

    Raises:
        UserError: the field is missing, or no string.
    """
    if record.get(name, "") is None:
        return LostTurn(NO_TEXT, with_exchange=True, role=role)
    return read_text(role, text_field(record, name, place))


@dataclass(frozen=True)
class TurnList:
    """How a format lists turns.

    Attributes:
        field: of the record, which holds them.
        speaker, text: of a turn, as the format calls them; the names that others use are read, too.
        page: whether texts in the format's own fields were copied from a chat page.
        verbatim: take texts as they are: what is thought or calls a tool was told apart when they were written.
        tools: whether exchanges with tools are read; else they are lost.
        ids: the fields that may hold the record's id where it has none; the first that does counts.
    """

    field: str
    speaker: str = "role"
    text: str = "content"
    page: bool = False
    verbatim: bool = False
    tools: bool = True
    ids: tuple[str, ...] = ()

    def read(self, record: Record, place: str) -> Chat:
        """The chat of a record.

        Raises:
            UserError: there is no list of turns, or a turn has no known speaker or no text.
            KeyError: the field is missing.
        """
        items = record[self.field]
        if not isinstance(items, list) or not items:
            wanted = f"a non-empty list of {{{self.speaker}, {self.text}}} objects"
            raise UserError(f"{place}: field {self.field!r} must be {wanted}")
        other = next((str(record[name]) for name in self.ids if record.get(name)), place)
        name = record_id(record, other)
        plain = self._plain_turns(items)
        turns = [turn for turn in plain if turn]
        chat = make_chat(name, turns, {}) if len(turns) == len(items) else self._read_rich(items, plain, name, place)
        chat.page = self.page and self.text in items[0]
        return chat

    def _read_rich(self, items: list[object], plain: list[Message | LostTurn | None], name: str, place: str) -> Chat:
        """The chat of a record of whose turns not all are plain."""
        reading = _Reading(self, f"{place}: {self.field}")
        read = [turn or reading.turn(item, index) for index, (item, turn) in enumerate(zip(items, plain, strict=True))]
        turns = reading.continued(read)
        chat = make_chat(name, [one for turn in turns for one in (turn, *reading.after.get(id(turn), ()))], {})
        chat.set_aside.update(reading.set_aside)
        repaired = {CONTINUED: len(items) - len(turns), UNEQUAL: reading.unequal}
        chat.repaired.update({change: count for change, count in repaired.items() if count})
        return chat

    def _plain_turns(self, items: list[object]) -> list[Message | LostTurn | None]:
        """The turns that are nothing but a speaker and a text, which most are; None for the others."""
        speaker, name, page, verbatim = self.speaker, self.text, self.page, self.verbatim
        turns: list[Message | LostTurn | None] = []
        for item in items:
            turn: Message | LostTurn | None = None
            if isinstance(item, dict) and len(item) == 2:
                who, text = item.get(speaker), item.get(name)
                if isinstance(who, str) and isinstance(text, str) and (role := ROLES.get(who)):
                    # On a page a tag that was typed is `&lt;think&gt;`; and every tag ends in one of the three letters.
                    plain = verbatim or (page and text.startswith(_PAGE_MARKUP))
                    if plain or not (">" in text or "]" in text or "\u25b7" in text):
                        turn = Message(role, text)
                    else:
                        turn = read_text(role, text, self.tools)
            turns.append(turn)
        return turns


@dataclass
class _Reading:
    """The turns of one record while they are read.

    Attributes:
        place: the file, line and field.
        begun: which turns are only the beginning of the next.
        after: what tools gave besides in the same turn as another result, by the identity of that.
        set_aside: the fields that went to a turn's `meta`.
        unequal: how many turns have parts of different weights.
    """

    listed: TurnList
    place: str
    begun: set[int] = field(default_factory=set)
    after: dict[int, list[Message]] = field(default_factory=dict)
    set_aside: list[str] = field(default_factory=list)
    unequal: int = 0

    def turn(self, item: object, index: int) -> Message | LostTurn:
        """One turn."""
        listed = self.listed
        if not isinstance(item, dict):
            raise UserError(
                f"{self.place}[{index}] must be an object with {listed.speaker!r} and {listed.text!r}, "
                f"found {type(item).__name__}"
            )
        where = f"{self.place}[{index}]"
        role = self._role(item, where)
        if not listed.tools and (role in (None, "tool") or any(item.get(name) for name in _CALLS)):
            return LostTurn(TOOL, with_exchange=True)
        if role is None:
            return self._call_alone(item, where)
        if role != "assistant" and any(item.get(name) for name in _CALLS):  # nobody else calls tools
            return LostTurn(TOOL, with_exchange=True)
        if media := media_field(item):
            return LostTurn(media_reason(media), with_exchange=True, role=role)
        content = self._content(item, where)
        if content.lost:  # a tool's result may stand in a user's turn, but asks nothing
            return LostTurn(content.lost, with_exchange=True, role="assistant" if content.lost == TOOL else role)
        if content.results or role == "tool":
            return self._results(item, content, where)
        calls = (*self._calls(item, where), *content.calls) if role == "assistant" else ()
        if content.text is None and not calls:
            return LostTurn(NO_TEXT, with_exchange=True, role=role)
        text = content.text or ""
        message = Message(role, text) if listed.verbatim else read_text(role, text, listed.tools)
        if isinstance(message, LostTurn):
            return message
        if None in calls or (calls and message.tool_calls):  # one that cannot be read, or two ways to call at once
            return LostTurn(TOOL, with_exchange=True)
        message = replace(message, tool_calls=message.tool_calls or tuple(filter(None, calls)))
        if role == "assistant" and any(item.get(name) for name in _BEGUN):
            self.begun.add(index)
        return self._with_rest(message, item, content, where)

    def _call_alone(self, item: Record, where: str) -> Message | LostTurn:
        """A turn whose text is one call, or a list of them, and nothing else."""
        content = self._content(item, where)
        value = read_object(content.text or "")
        calls = [_read_call(one, where) for one in (value if isinstance(value, list) else [value])]
        if content.lost or not calls or None in calls:
            return LostTurn(TOOL, with_exchange=True)
        message = Message("assistant", "", tool_calls=tuple(filter(None, calls)))
        return self._with_rest(message, item, content, where)

    def _results(self, item: Record, content: Content, where: str) -> Message | LostTurn:
        """What tools gave in a turn: its text, which may be several results, or its parts."""
        if content.results and content.text and content.text.strip():  # the user says more, before anybody answers
            return LostTurn(TOOL, with_exchange=True)
        whole = content.text or ""
        texts = [whole] if self.listed.verbatim else split_results(whole)
        found = content.results or [(None, text) for text in texts]
        turns = [
            self._with_rest(Message("tool", text, tool_call_id=name), item, content, where) for name, text in found
        ]
        self.after[id(turns[0])] = turns[1:]
        return turns[0]

    def _calls(self, item: Record, where: str) -> list[ToolCall | None]:
        """The calls in a turn's fields; None for one that cannot be read."""
        called = item.get("tool_calls") or []
        older = item.get("function_call")
        listed = [*(called if isinstance(called, list) else [called]), *([older] if older else [])]
        return [_read_call(one, where) for one in listed]

    def _role(self, item: Record, where: str) -> Role | None:
        """Who speaks; None for who calls a tool in a turn of its own."""
        name = _found(item, self.listed.speaker, _SPEAKERS)
        speaker = item.get(name)
        known = speaker.strip().lower().replace(" ", "_").replace("-", "_") if isinstance(speaker, str) else ""
        if known in ROLES:
            return ROLES[known]
        if known in _TOOL_ROLES:
            return "tool"
        if known in _CALLING_ROLES:
            return None
        raise UserError(f"{where}.{name}: unknown role {speaker!r}{suggest_name(str(speaker), ROLES)}")

    def _content(self, item: Record, where: str) -> Content:
        name = _found(item, self.listed.text, _TEXTS)
        value = item.get(name)
        if value is None and isinstance(item.get("refusal"), str):
            value = item["refusal"]
        if isinstance(value, str):
            return Content(value)
        if isinstance(value, list):
            return join_parts(value, where, self.listed.tools)
        if value is None and (name in item or any(item.get(called) for called in _CALLS)):
            return Content()
        if isinstance(value, dict) and self._role(item, where) == "tool":
            return Content(json.dumps(as_json(value), ensure_ascii=False))
        if value is None:
            raise UserError(f"{where}: no field {name!r}; found {sorted(item)}")
        raise UserError(f"{where}.{name} must be a string, found {type(value).__name__}")

    def _with_rest(self, message: Message, item: Record, content: Content, where: str) -> Message:
        """The turn with its weight, its thoughts, and what is set aside."""
        if len({1 if weight is None else weight for weight in content.weights}) > 1:
            self.unequal += 1
        others = TURN.others(item)
        for name in (_found(item, self.listed.speaker, _SPEAKERS), _found(item, self.listed.text, _TEXTS)):
            others.pop(name, None)
        if others.get("refusal") == message.content:
            del others["refusal"]
        if message.role == "tool":
            others = {key: held for key, held in others.items() if key not in _CALL_IDS}
        thoughts = [others.pop(name) for name in _REASONING if isinstance(others.get(name), str)]
        meta = others.pop("meta") if isinstance(others.get("meta"), dict) else {}
        truncated = item.get("truncated")
        if not isinstance(truncated, bool | None):
            raise UserError(f"{where}.truncated must be true or false, found {truncated!r}")
        self.set_aside.extend(f"{self.listed.field}[].{name}" for name in others)
        self.set_aside.extend(f"{self.listed.field}[].content[].{name}" for name in content.others)
        return Message(
            message.role,
            message.content,
            smallest(read_weight(item, f"{where}."), *content.weights),
            join_reasoning(*thoughts, content.reasoning, message.reasoning),
            bool(truncated),
            merge_meta(merge_meta(meta, others), content.others),
            message.tool_calls,
            message.tool_call_id or self._answered(item, message),
        )

    def _answered(self, item: Record, message: Message) -> str | None:
        """The id of the call that a tool's turn answers."""
        ids = (str(item[name]) for name in _CALL_IDS if item.get(name))
        return next(ids, None) if message.role == "tool" else None

    def continued(self, turns: Sequence[Message | LostTurn]) -> list[Message | LostTurn]:
        """The turns with each answer that was begun for the assistant joined with the rest of it."""
        joined: list[Message | LostTurn] = []
        for index, turn in enumerate(turns):
            last = joined[-1] if joined else None
            goes_on = index - 1 in self.begun and turn.role == "assistant"
            if goes_on and isinstance(last, Message) and isinstance(turn, Message):
                joined[-1] = continue_answer(last, turn)
            else:
                joined.append(turn)
        return joined


def _read_call(value: object, where: str) -> ToolCall | None:
    """A call; None if it cannot be read."""
    try:
        return read_tool_call(value, where)
    except UserError:
        return None
