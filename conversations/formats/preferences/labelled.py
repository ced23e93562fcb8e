"""One answer and whether it is wanted, as KTO takes it: TRL's records and LLaMA-Factory's."""

from camelid.files.read import Record
from camelid.message import record_id
from conversations.formats.chat import Chat, make_chat
from conversations.formats.fields import KnownFields, list_field, text_field
from conversations.formats.preferences.answers import flag_field, listed_chat
from conversations.formats.preferences.preference_format import Marked, PreferenceFormat
from conversations.formats.preferences.text_prompt import read_text_prompt, unpadded
from conversations.formats.turns import read_text

_MARKS = ("label", "kto_tag")
_TURNS = ("messages", "conversations")
_TEXTS = (("instruction", "output"), ("prompt", "completion"), ("prompt", "response"), ("query", "response"))


def _marks(record: Record) -> tuple[str, ...]:
    return tuple(name for name in _MARKS if isinstance(record.get(name), bool))[:1]


def _read(record: Record, place: str) -> list[Marked]:
    mark = next((name for name in _MARKS if name in record), _MARKS[0])
    return [Marked(_chat(record, place), flag_field(record, mark, place))]


def _chat(record: Record, place: str) -> Chat:
    name = record_id(record, place)
    for field in _TURNS:
        if field in record:
            return listed_chat(name, list_field(record, field, place), field, place)
    asked, answered = next((names for names in _TEXTS if record.keys() >= set(names)), _TEXTS[1])
    prompt, answer = record[asked], record[answered]
    if isinstance(prompt, list):
        answer = answer if isinstance(answer, list) else [{"role": "assistant", "content": answer}]
        return listed_chat(name, [*prompt, *answer], f"{asked} + {answered}", place)
    answer = unpadded(text_field(record, answered, place))
    return make_chat(name, [*read_text_prompt(record, place), read_text("assistant", answer)], {})


LABELLED = PreferenceFormat(
    name="labelled",
    called="labelled answers (KTO)",
    looks_like='`{"prompt", "completion", "label"}`',
    names=frozenset(_MARKS),
    marks=_marks,
    fields=KnownFields(
        frozenset(("id", "input", "history", *_MARKS, *_TURNS, *(name for names in _TEXTS for name in names)))
    ),
    read=_read,
    notes="TRL's, or turns with LLaMA-Factory's `kto_tag`",
)
