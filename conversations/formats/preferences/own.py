"""Our own records, as every command here writes them."""

from camelid.files.read import Record
from camelid.message import Conversation
from conversations.formats.chat import Chat
from conversations.formats.fields import KnownFields
from conversations.formats.preferences.preference_format import Compared, Marked, PreferenceFormat, ReadPreference
from conversations.preference import AnswerText, LabelledAnswer, Preference, is_preference, parse_preference

_NAMES = ("id", "prompt", "chosen", "rejected", "grade", "safety", "answer", "label", "source", "meta")


def _marks(record: Record) -> tuple[str, ...]:
    if not is_preference(record):
        return ()
    return ("answer",) if "answer" in record else ("chosen", "rejected")


def _read(record: Record, place: str) -> list[ReadPreference]:
    one = parse_preference(record, place)
    if isinstance(one, LabelledAnswer):
        return [Marked(_chat(one, one.answer), one.label, one.answer.model, one.source)]
    models = (one.chosen.model, one.rejected.model)
    chosen, rejected = _chat(one, one.chosen), _chat(one, one.rejected)
    return [Compared(chosen, rejected, models, one.grade, one.safety, source=one.source)]


def _chat(one: Preference | LabelledAnswer, answer: AnswerText) -> Chat:
    return Chat(Conversation(one.id, (*one.prompt, answer.message()), one.meta))


OWN = PreferenceFormat(
    name="preferences",
    called="Camelid's",
    looks_like='`{"prompt", "chosen": {"content"}, "rejected": {"content"}}`, `{"prompt", "answer", "label"}`',
    names=frozenset(("chosen", "answer")),
    marks=_marks,
    fields=KnownFields(frozenset(_NAMES)),
    read=_read,
    notes="reads back unchanged",
)
