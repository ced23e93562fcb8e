"""What stands beside the turns of a record, whatever its format: system message, weight, media, and all else."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from camelid.errors import UserError
from camelid.files.read import Record
from camelid.message import Conversation, Message, Tool, merge_meta, read_tools
from camelid.text.tool_calls import spells_tools
from conversations.formats.chat import Chat, make_chat
from conversations.formats.fields import KnownFields
from conversations.formats.media import media_field, without_media
from conversations.formats.parts import read_plain_text
from conversations.formats.weights import WEIGHTS, read_weight, smallest

SYSTEM = ("system", "system_prompt", "system_message")
TOOLS = ("tools", "functions")  # OpenAI's name, and its older one
_META = "meta"
_HERE = frozenset((*SYSTEM, *WEIGHTS, _META))


@dataclass(frozen=True)
class Beside:
    """What of a record is not in its turns.

    Attributes:
        system: the system message; None if there is none.
        weight: the largest share of the loss that an answer may have; None for any.
        media: the field that holds images, sounds or files; None if there are none.
        meta: what the record's own `meta` holds.
        tools: what the assistant may call.
        others: the fields that are set aside.
    """

    system: str | None
    weight: float | None
    media: str | None
    meta: dict[str, Any]
    tools: tuple[Tool, ...]
    others: dict[str, Any]

    def add_to(self, chats: Iterable[Chat]) -> Iterator[Chat]:
        """The record's chats with it."""
        for chat in chats:
            yield self._added(chat)

    def _added(self, chat: Chat) -> Chat:
        messages, name = chat.conversation.messages, chat.conversation.id
        if self.weight is not None:
            messages = tuple(map(self._weighed, messages))
        if self.media:
            less = make_chat(name, without_media(messages, self.media), {})
            chat.lost.update(less.lost)
            messages = less.conversation.messages
        if self.system is not None:
            messages = _with_system(self.system, messages)
        names = (name, chat.conversation.meta.get("tree"))
        others = {key: value for key, value in self.others.items() if value not in names}
        meta = merge_meta(merge_meta(chat.conversation.meta, self.meta), others)
        spelled = bool(messages) and messages[0].role == "system" and spells_tools(messages[0].content)
        chat.conversation = Conversation(name, messages, meta, () if spelled else self.tools)
        chat.set_aside.update(others.keys())
        return chat

    def _weighed(self, message: Message) -> Message:
        if message.role != "assistant":
            return message
        return replace(message, weight=smallest(message.weight, self.weight))


def read_beside(record: Record, fields: KnownFields, place: str) -> Beside | None:
    """What a record has besides the fields its format knows; None if there is nothing.

    Raises:
        UserError: a system message is no text, or a weight is out of range.
    """
    if fields.known.issuperset(record):
        return None
    others = fields.others(record)
    system = [read_plain_text(others[name], f"{place}: {name}") for name in SYSTEM if name in others]
    tools, read = _read_tools(others)
    aside = {name: value for name, value in others.items() if name not in _HERE and name != read}
    for content in system:
        aside = merge_meta(aside, content.others)
    meta = {} if record.get(_META) is None else record[_META]
    if not isinstance(meta, dict):
        raise UserError(f"{place}: field {_META!r} must be an object, found {type(meta).__name__}")
    return Beside(
        "\n\n".join(content.text for content in system if content.text) or None,
        read_weight(others, f"{place}: field "),
        media_field(others),
        meta,
        tools,
        aside,
    )


def _read_tools(others: Record) -> tuple[tuple[Tool, ...], str | None]:
    """The tools of a record, and the field that lists them; one that lists none in a known way is set aside."""
    for name in TOOLS:
        try:
            if tools := read_tools(others.get(name), name):
                return tools, name
        except UserError:
            continue
    return (), None


def _with_system(text: str, messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The turns behind a system message; one that they begin with comes after it, unless it is the same."""
    if not messages or messages[0].role != "system":
        return (Message("system", text), *messages)
    first = messages[0]
    if first.content.strip() == text.strip():
        return messages
    return (replace(first, content=f"{text}\n\n{first.content}"), *messages[1:])
