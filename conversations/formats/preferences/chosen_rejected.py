"""Records with `chosen` and `rejected`, by any name and in any shape: TRL's, LLaMA-Factory's, ms-swift's, ..."""

from dataclasses import dataclass, field
from typing import Any

from camelid.errors import UserError
from camelid.files.read import Record
from conversations.formats.chat import Chat, LostTurn, make_chat
from conversations.formats.fields import KnownFields, as_json, text_field
from conversations.formats.preferences.answers import listed_chat, writer_field
from conversations.formats.preferences.preference_format import Compared, PreferenceFormat
from conversations.formats.preferences.text_prompt import TEXT_PROMPT, fields_of_prompt, read_text_prompt, unpadded
from conversations.formats.turns import ROLES, read_text

# TRL and most others; distilabel; ms-swift, whose chosen answer is the last of the messages.
_PAIRS = (("chosen", "rejected"), ("chosen_response", "rejected_response"), ("response", "rejected_response"))
_REJECTED_ALONE = ("rejected_response", "rejected_messages")
_TURNS = ("messages", "conversations", "prompt", "context")
_MODELS = (("chosen_model", "rejected_model"), ("chosen-model", "rejected-model"))
_NAMES = frozenset((*(name for names in _PAIRS for name in names), *_REJECTED_ALONE)) - {"response"}
_IDS = ("id", "prompt_id")


def _marks(record: Record) -> tuple[str, ...]:
    return tuple(name for name in ("chosen", "rejected", "chosen_response", *_REJECTED_ALONE) if record.get(name))


def _read(record: Record, place: str) -> list[Compared]:
    name = next((str(record[field]) for field in _IDS if record.get(field)), place)
    reading = _Sides(record, name, place)
    sides = next((sides for sides in _PAIRS if record.keys() >= set(sides)), None)
    if sides:
        chosen, rejected = reading.pair(*sides)
    elif any(field in record for field in _REJECTED_ALONE):
        chosen, rejected = reading.last_of_turns(), reading.rejected_alone()
    else:
        known = " or ".join(f"{one!r} and {other!r}" for one, other in _PAIRS)
        raise UserError(f"{place}: one answer of two; expected {known}")
    named = next((names for names in _MODELS if record.keys() & set(names)), ("", ""))
    models = (writer_field(record, named[0], place), writer_field(record, named[1], place))
    return [Compared(chosen, rejected, models, meta=reading.unused(chosen))]


@dataclass
class _Sides:
    """One record while its sides are read; `used` are the fields that became of one."""

    record: Record
    name: str
    place: str
    used: set[str] = field(default_factory=set)

    def pair(self, chosen: str, rejected: str) -> tuple[Chat, Chat]:
        """Both chats of a record whose sides have these names."""
        self.used |= {chosen, rejected}
        one, other = self.record[chosen], self.record[rejected]
        if isinstance(one, str) and isinstance(other, str):
            if not any(self.record.get(field) for field in (*_TURNS, *TEXT_PROMPT)):
                return self._implicit(one, other)
            prompt = self.record.get("prompt")
            if isinstance(prompt, str) and all(text.startswith(prompt) and text != prompt for text in (one, other)):
                one, other = one.removeprefix(prompt), other.removeprefix(prompt)
        return self._side(one, chosen), self._side(other, rejected)

    def _side(self, value: Any, side: str) -> Chat:
        """The chat that a side is or ends."""
        if isinstance(value, str):
            return self._with_prompt([{"role": "assistant", "content": unpadded(value)}], side)
        items = value if isinstance(value, list) else [value]
        if not items or not all(isinstance(one, dict) for one in items):
            raise UserError(
                f"{self.place}: field {side!r} must be a text, a message or a non-empty list of messages, "
                f"found {type(value).__name__}"
            )
        whole = any(_role(one) != "assistant" for one in items)
        return listed_chat(self.name, items, side, self.place) if whole else self._with_prompt(items, side)

    def last_of_turns(self) -> Chat:
        """The chat whose last answer is the chosen one."""
        turns, listed = self._turns()
        return listed_chat(self.name, turns, listed, self.place)

    def rejected_alone(self) -> Chat:
        """The same chat with the rejected answer in place of the last one."""
        turns, listed = self._turns()
        other = next(name for name in _REJECTED_ALONE if name in self.record)
        self.used.add(other)
        if isinstance(self.record[other], list):
            return listed_chat(self.name, self.record[other], other, self.place)
        answer = {"role": "assistant", "content": text_field(self.record, other, self.place)}
        return listed_chat(self.name, [*turns[:-1], answer], f"{listed} + {other}", self.place)

    def _turns(self) -> tuple[list[Any], str]:
        for listed in _TURNS:
            if isinstance(self.record.get(listed), list) and self.record[listed]:
                self.used.add(listed)
                return self.record[listed], listed
        raise UserError(f"{self.place}: no prompt; expected a list in one of {', '.join(map(repr, _TURNS))}")

    def _with_prompt(self, answer: list[Any], side: str) -> Chat:
        """The prompt with an answer."""
        if any(isinstance(self.record.get(listed), list) and self.record[listed] for listed in _TURNS):
            turns, listed = self._turns()
            return listed_chat(self.name, [*turns, *answer], f"{listed} + {side}", self.place)
        prompt, last = read_text_prompt(self.record, self.place), listed_chat(self.name, answer, side, self.place)
        self.used |= fields_of_prompt(self.record)
        lost = [LostTurn(reason, with_exchange=True) for reason in last.lost]
        chat = make_chat(self.name, [*prompt, *last.conversation.messages, *lost], {})
        chat.set_aside.update(last.set_aside)
        return chat

    def _implicit(self, chosen: str, rejected: str) -> tuple[Chat, Chat]:
        """Two texts that begin with the same prompt: as many whole words as they share (TRL's implicit prompt).

        Raises:
            UserError: they share none.
        """
        shared = next(
            (at for at, (one, two) in enumerate(zip(chosen, rejected, strict=False)) if one != two),
            min(len(chosen), len(rejected)),
        )
        while shared > 0 and not (chosen[shared - 1].isspace() or _ends_at_blank(chosen, rejected, shared)):
            shared -= 1
        prompt = chosen[:shared].strip()
        if not prompt:
            raise UserError(
                f"{self.place}: no prompt: 'chosen' and 'rejected' begin with no common words; write it as 'prompt'"
            )
        one, two = (
            make_chat(self.name, [read_text("user", prompt), read_text("assistant", text[shared:].strip())], {})
            for text in (chosen, rejected)
        )
        return one, two

    def unused(self, chosen: Chat) -> dict[str, Any]:
        """The fields for a prompt that became of none, but for those that say again what is in the chosen chat."""
        said = [message.content for message in chosen.conversation.messages]
        lists = [self.record.get(side) for sides in _PAIRS for side in sides]
        return {
            name: as_json(value)
            for name in (*_TURNS, *TEXT_PROMPT)
            if (value := self.record.get(name)) and name not in self.used and value not in said and value not in lists
        }


def _role(item: Record) -> str:
    speaker = item.get("role", item.get("from"))
    return ROLES.get(speaker.lower(), "") if isinstance(speaker, str) else ""


def _ends_at_blank(chosen: str, rejected: str, at: int) -> bool:
    return all(at == len(text) or text[at].isspace() for text in (chosen, rejected))


CHOSEN_REJECTED = PreferenceFormat(
    name="chosen-rejected",
    called="chosen and rejected",
    looks_like='`{"prompt", "chosen", "rejected"}`',
    names=_NAMES,
    marks=_marks,
    fields=KnownFields(
        frozenset((*_IDS, *_TURNS, *TEXT_PROMPT, *_NAMES, "response", *(name for names in _MODELS for name in names)))
    ),
    read=_read,
    notes="TRL (texts or messages, prompt beside or within), ShareGPT and OpenAI turns, LLaMA-Factory, ms-swift, "
    "UltraFeedback binarized",
)
