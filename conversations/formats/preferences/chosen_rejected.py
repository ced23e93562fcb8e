"""Records with `chosen` and `rejected`, by any name and in any shape: TRL's, LLaMA-Factory's, ms-swift's, ..."""

from dataclasses import dataclass
from typing import Any

from camelid.errors import UserError
from camelid.files.read import Record
from camelid.message import Message
from conversations.formats.chat import Chat, LostTurn, make_chat
from conversations.formats.fields import KnownFields, text_field
from conversations.formats.preferences.answers import listed_chat, writer_field
from conversations.formats.preferences.preference_format import Compared, PreferenceFormat
from conversations.formats.preferences.transcript import is_transcript, read_transcript
from conversations.formats.turns import ROLES, read_text

# TRL and most others; distilabel; ms-swift, whose chosen answer is the last of the messages.
_PAIRS = (("chosen", "rejected"), ("chosen_response", "rejected_response"))
_REJECTED_ALONE = ("rejected_response", "rejected_messages")
_TURNS = ("messages", "conversations", "prompt", "context")
_QUESTIONS = ("prompt", "instruction", "question", "query", "input")
_MODELS = (("chosen_model", "rejected_model"), ("chosen-model", "rejected-model"))
_NAMES = frozenset((*(name for names in _PAIRS for name in names), *_REJECTED_ALONE))
_IDS = ("id", "prompt_id")


def _marks(record: Record) -> tuple[str, ...]:
    return tuple(name for name in ("chosen", "rejected", "chosen_response", *_REJECTED_ALONE) if record.get(name))


def _read(record: Record, place: str) -> list[Compared]:
    name = next((str(record[field]) for field in _IDS if record.get(field)), place)
    reading = _Sides(record, name, place)
    sides = next((sides for sides in _PAIRS if record.keys() >= set(sides)), None)
    if sides:
        if all(isinstance(record[side], str) for side in sides) and not reading.has_prompt:
            chosen, rejected = _implicit_texts(record[sides[0]], record[sides[1]], reading)
        else:
            chosen, rejected = (reading.side(side) for side in sides)
    elif any(field in record for field in _REJECTED_ALONE):
        chosen, rejected = reading.last_of_turns(), reading.rejected_alone()
    else:
        known = " or ".join(f"{one!r} and {other!r}" for one, other in _PAIRS)
        raise UserError(f"{place}: one answer of two; expected {known}")
    named = next((names for names in _MODELS if record.keys() & set(names)), ("", ""))
    models = (writer_field(record, named[0], place), writer_field(record, named[1], place))
    return [Compared(chosen, rejected, models)]


@dataclass(frozen=True)
class _Sides:
    """One record while its sides are read."""

    record: Record
    name: str
    place: str

    @property
    def has_prompt(self) -> bool:
        return any(self.record.get(field) for field in (*_TURNS, *_QUESTIONS))

    @property
    def repeated(self) -> str:
        """The prompt, where both answers are texts that begin with it; else nothing."""
        prompt = self.record.get("prompt")
        answers = [self.record[side] for sides in _PAIRS for side in sides if side in self.record]
        repeated = isinstance(prompt, str) and all(
            isinstance(answer, str) and answer.startswith(prompt) and answer != prompt for answer in answers
        )
        return prompt if repeated and isinstance(prompt, str) else ""

    def side(self, field: str) -> Chat:
        """The chat that a side is or ends."""
        value = self.record[field]
        if isinstance(value, str):
            text = value.removeprefix(self.repeated)
            return self._with_prompt([{"role": "assistant", "content": text}], field)
        items = value if isinstance(value, list) else [value]
        if not items or not all(isinstance(one, dict) for one in items):
            raise UserError(
                f"{self.place}: field {field!r} must be a text, a message or a non-empty list of messages, "
                f"found {type(value).__name__}"
            )
        whole = any(_role(one) != "assistant" for one in items)
        return listed_chat(self.name, items, field, self.place) if whole else self._with_prompt(items, field)

    def last_of_turns(self) -> Chat:
        """The chat whose last answer is the chosen one."""
        turns, field = self._turns()
        return listed_chat(self.name, turns, field, self.place)

    def rejected_alone(self) -> Chat:
        """The same chat with the rejected answer in place of the last one."""
        turns, field = self._turns()
        other = next(field for field in _REJECTED_ALONE if field in self.record)
        if isinstance(self.record[other], list):
            return listed_chat(self.name, self.record[other], other, self.place)
        answer = {"role": "assistant", "content": text_field(self.record, other, self.place)}
        return listed_chat(self.name, [*turns[:-1], answer], f"{field} + {other}", self.place)

    def _turns(self) -> tuple[list[Any], str]:
        for field in _TURNS:
            if isinstance(self.record.get(field), list) and self.record[field]:
                return self.record[field], field
        raise UserError(f"{self.place}: no prompt; expected a list in one of {', '.join(map(repr, _TURNS))}")

    def _with_prompt(self, answer: list[Any], field: str) -> Chat:
        """The prompt with an answer."""
        for turns in _TURNS:
            if isinstance(self.record.get(turns), list) and self.record[turns]:
                items = [*self.record[turns], *answer]
                return listed_chat(self.name, items, f"{turns} + {field}", self.place)
        prompt = self._text_prompt()
        last = listed_chat(self.name, answer, field, self.place)
        return make_chat(self.name, [*prompt, *last.conversation.messages, *_lost(last)], {})

    def _text_prompt(self) -> list[Message | LostTurn]:
        """A prompt that is a text: a transcript, or a question with its input."""
        field = next((field for field in _QUESTIONS if self.record.get(field)), None)
        if field is None:
            known = ", ".join(map(repr, dict.fromkeys((*_TURNS, *_QUESTIONS))))
            raise UserError(f"{self.place}: no prompt; expected one of {known}")
        text = text_field(self.record, field, self.place)
        if is_transcript(text):
            return read_transcript(text)
        if field == "instruction" and self.record.get("input"):
            text = f"{text}\n\n{text_field(self.record, 'input', self.place)}"
        return [read_text("user", text)]


def _lost(chat: Chat) -> list[LostTurn]:
    return [LostTurn(reason, with_exchange=True) for reason in chat.lost]


def _role(item: Record) -> str:
    speaker = item.get("role", item.get("from"))
    return ROLES.get(speaker.lower(), "") if isinstance(speaker, str) else ""


def _implicit_texts(chosen: str, rejected: str, reading: _Sides) -> tuple[Chat, Chat]:
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
            f"{reading.place}: no prompt: 'chosen' and 'rejected' begin with no common words; write it as 'prompt'"
        )
    turns = [read_text("user", prompt)]
    one, two = (
        make_chat(reading.name, [*turns, read_text("assistant", text[shared:].strip())], {})
        for text in (chosen, rejected)
    )
    return one, two


def _ends_at_blank(chosen: str, rejected: str, at: int) -> bool:
    return all(at == len(text) or text[at].isspace() for text in (chosen, rejected))


CHOSEN_REJECTED = PreferenceFormat(
    name="chosen-rejected",
    called="chosen and rejected",
    looks_like='`{"prompt", "chosen", "rejected"}`',
    names=_NAMES,
    marks=_marks,
    fields=KnownFields(
        frozenset((*_IDS, *_TURNS, *_QUESTIONS, *_NAMES, *(name for names in _MODELS for name in names)))
    ),
    read=_read,
    notes="TRL (texts or messages, prompt beside or within), ShareGPT and OpenAI turns, LLaMA-Factory, ms-swift, "
    "UltraFeedback binarized",
)
