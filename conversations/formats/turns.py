"""Turns listed in a field of a record, each with its speaker and its text, as most data sets have them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from camelid.errors import UserError, suggest_name
from camelid.files.read import Record
from camelid.message import Message, Role, merge_meta, record_id
from conversations.formats.chat import (
    CONTINUED,
    ENDLESS,
    NO_TEXT,
    TOOL,
    Chat,
    LostTurn,
    continue_answer,
    make_chat,
    media_reason,
)
from conversations.formats.fields import KnownFields
from conversations.formats.media import MEDIA_FIELDS, media_field, placed_mark
from conversations.formats.parts import Content, join_parts
from conversations.formats.thinking import join_reasoning, part_thinking
from conversations.formats.weights import WEIGHTS, read_weight, smallest

# OpenAI's roles; Gemini's `model`; and the names seen in ShareGPT exports, github.com/lm-sys/FastChat,
# fastchat/data/clean_sharegpt.py.
ROLES: dict[str, Role] = {
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bing", "bard", "bot", "model", "claude"), "assistant"),
    **dict.fromkeys(("system", "developer"), "system"),
}
# Who calls a tool or is one: OpenAI, LLaMA-Factory (`function_call`, `observation`), Hermes, Llama 3.1 (`ipython`).
_TOOL_ROLES = frozenset(
    ("tool", "function", "function_call", "function_response", "tool_call", "tool_response", "observation", "ipython")
)
_SPEAKERS, _TEXTS = ("role", "from"), ("content", "value")
_CALLS = ("tool_calls", "function_call")
_REASONING = ("reasoning_content", "reasoning", "thinking")  # DeepSeek and vLLM; OpenRouter; Ollama and gpt-oss
_BEGUN = ("prefix", "partial")  # an answer begun for the assistant: DeepSeek and Mistral; Moonshot and Qwen

TURN = KnownFields(frozenset((*_SPEAKERS, *_TEXTS, *_CALLS, *_BEGUN, "refusal", "truncated")) | WEIGHTS | MEDIA_FIELDS)


def read_text(role: Role, text: str) -> Message | LostTurn:
    """A turn that is a text: with its thoughts apart, or lost if it shows an image, calls a tool or only thinks."""
    if "<" not in text or role == "system":
        return Message(role, text)
    if role == "user":
        mark = placed_mark(text)
        return LostTurn(media_reason(mark), with_exchange=True, role=role) if mark else Message(role, text)
    if "<tool_call>" in text and "</tool_call>" in text:  # Hermes's and Qwen's calls
        return LostTurn(TOOL, with_exchange=True)
    thought = part_thinking(text)
    if thought.answer is None:
        return LostTurn(ENDLESS, with_exchange=True)
    return Message(role, thought.answer, reasoning=thought.reasoning)


@dataclass(frozen=True)
class TurnList:
    """How a format lists turns.

    Attributes:
        field: of the record, which holds them.
        speaker, text: of a turn, as the format calls them; the names that others use are read, too.
        verbatim: take texts as they are: what is thought or calls a tool was told apart when they were written.
        ids: the fields that may hold the record's id where it has none; the first that does counts.
    """

    field: str
    speaker: str = "role"
    text: str = "content"
    verbatim: bool = False
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
        reading = _Reading(self, f"{place}: {self.field}")
        turns = [reading.turn(item, index) for index, item in enumerate(items)]
        if reading.begun:
            turns = reading.continued(turns)
        other = next((str(record[name]) for name in self.ids if record.get(name)), place)
        chat = make_chat(record_id(record, other), turns, {})
        if not reading.set_aside and not reading.repaired:
            return chat
        return replace(chat, set_aside=reading.set_aside, repaired=reading.repaired)


@dataclass
class _Reading:
    """The turns of one record while they are read.

    Attributes:
        place: the file, line and field.
        begun: which turns are only the beginning of the next.
    """

    listed: TurnList
    place: str
    begun: set[int] = field(default_factory=set)
    set_aside: Counter[str] = field(default_factory=Counter)
    repaired: Counter[str] = field(default_factory=Counter)

    def turn(self, item: object, index: int) -> Message | LostTurn:
        """One turn."""
        listed = self.listed
        if not isinstance(item, dict):
            raise UserError(
                f"{self.place}[{index}] must be an object with {listed.speaker!r} and {listed.text!r}, "
                f"found {type(item).__name__}"
            )
        speaker, text = item.get(listed.speaker), item.get(listed.text)
        if len(item) == 2 and isinstance(text, str) and isinstance(speaker, str) and speaker in ROLES:
            return self._message(ROLES[speaker], text)
        return self._rich_turn(item, index)

    def _message(self, role: Role, text: str) -> Message | LostTurn:
        return Message(role, text) if self.listed.verbatim else read_text(role, text)

    def _rich_turn(self, item: Record, index: int) -> Message | LostTurn:
        """A turn of which there may be more, or that is none."""
        where = f"{self.place}[{index}]"
        role = self._role(item, where)
        if role is None or any(item.get(name) for name in _CALLS):
            return LostTurn(TOOL, with_exchange=True)
        if media := media_field(item):
            return LostTurn(media_reason(media), with_exchange=True, role=role)
        content = self._content(item, where)
        if content.lost:  # a tool's result may stand in a user's turn, but asks nothing
            return LostTurn(content.lost, with_exchange=True, role="assistant" if content.lost == TOOL else role)
        if content.text is None:
            return LostTurn(NO_TEXT, with_exchange=True, role=role)
        message = self._message(role, content.text)
        if isinstance(message, LostTurn):
            return message
        if role == "assistant" and any(item.get(name) for name in _BEGUN):
            self.begun.add(index)
        return self._with_rest(message, item, content, where)

    def _role(self, item: Record, where: str) -> Role | None:
        """Who speaks; None for a tool, or for who calls one."""
        listed = self.listed
        name = listed.speaker if listed.speaker in item else next((n for n in _SPEAKERS if n in item), listed.speaker)
        speaker = item.get(name)
        known = speaker.strip().lower() if isinstance(speaker, str) else ""
        if known in ROLES:
            return ROLES[known]
        if known in _TOOL_ROLES:
            return None
        raise UserError(f"{where}.{name}: unknown role {speaker!r}{suggest_name(str(speaker), ROLES)}")

    def _content(self, item: Record, where: str) -> Content:
        listed = self.listed
        name = listed.text if listed.text in item else next((n for n in _TEXTS if n in item), listed.text)
        value = item.get(name)
        if value is None and isinstance(item.get("refusal"), str):
            value = item["refusal"]
        if isinstance(value, str):
            return Content(value)
        if isinstance(value, list):
            return join_parts(value, where)
        if value is None and name in item:
            return Content()
        if value is None:
            raise UserError(f"{where}: no field {name!r}; found {sorted(item)}")
        raise UserError(f"{where}.{name} must be a string, found {type(value).__name__}")

    def _with_rest(self, message: Message, item: Record, content: Content, where: str) -> Message:
        """The turn with its weight, its thoughts, and what is set aside."""
        others = TURN.others(item)
        others.pop(self.listed.speaker, None)
        thoughts = [others.pop(name) for name in _REASONING if isinstance(others.get(name), str)]
        meta = others.pop("meta") if isinstance(others.get("meta"), dict) else {}
        truncated = item.get("truncated")
        if not isinstance(truncated, bool | None):
            raise UserError(f"{where}.truncated must be true or false, found {truncated!r}")
        self.set_aside.update(f"{self.listed.field}[].{name}" for name in others)
        self.set_aside.update(f"{self.listed.field}[].content[].{name}" for name in content.others)
        return Message(
            message.role,
            message.content,
            smallest(read_weight(item, f"{where}."), content.weight),
            join_reasoning(*thoughts, content.reasoning, message.reasoning),
            bool(truncated),
            merge_meta(merge_meta(meta, others), content.others),
        )

    def continued(self, turns: Sequence[Message | LostTurn]) -> list[Message | LostTurn]:
        """The turns with each answer that was begun for the assistant joined with the rest of it."""
        joined: list[Message | LostTurn] = []
        for index, turn in enumerate(turns):
            last = joined[-1] if joined else None
            goes_on = index - 1 in self.begun and turn.role == "assistant"
            if goes_on and isinstance(last, Message) and isinstance(turn, Message):
                joined[-1] = continue_answer(last, turn)
                self.repaired[CONTINUED] += 1
            else:
                joined.append(turn)
        return joined
