"""PKU-SafeRLHF: two answers, which one is better and which one is safer, and whether each is safe (Ji et al. 2024)."""

from collections.abc import Iterator

from camelid.files.read import Record
from camelid.message import record_id
from conversations.formats.fields import KnownFields, text_field
from conversations.formats.preferences.answers import choice_field, flag_field, text_chat, writer_field
from conversations.formats.preferences.preference_format import Compared, PreferenceFormat, ReadPreference, Unused
from conversations.preference import Safety

_ANSWERS = ("response_0", "response_1")
_FLAGS = tuple(f"is_{answer}_safe" for answer in _ANSWERS)
_WRITERS = tuple(f"{answer}_source" for answer in _ANSWERS)
_LABELS = {"helpful": "better_response_id", "safe": "safer_response_id"}
CONTRADICTED = "chosen as safer, but marked unsafe and the other safe"


def _marks(record: Record) -> tuple[str, ...]:
    named = tuple(name for name in _LABELS.values() if name in record)
    return (*_ANSWERS, *named) if named and record.keys() >= set(_ANSWERS) else ()


def _read(record: Record, place: str) -> Iterator[ReadPreference]:
    prompt, name = text_field(record, "prompt", place), record_id(record, place)
    texts = [text_field(record, answer, place) for answer in _ANSWERS]
    safe = [flag_field(record, flag, place) for flag in _FLAGS] if record.keys() >= set(_FLAGS) else None
    writers = [writer_field(record, writer, place) for writer in _WRITERS]
    for label, field in _LABELS.items():
        if field not in record:
            continue
        best = choice_field(record, field, place)
        safety = Safety(safe[best], safe[1 - best]) if safe else None
        if label == "safe" and safety == Safety(False, True):
            yield Unused(CONTRADICTED, label)
            continue
        chosen, rejected = (text_chat(name, prompt, texts[at]) for at in (best, 1 - best))
        yield Compared(chosen, rejected, (writers[best], writers[1 - best]), None, safety, label)


SAFE_RLHF = PreferenceFormat(
    name="safe-rlhf",
    called="PKU-SafeRLHF",
    looks_like='`{"prompt", "response_0", "response_1", "better_response_id", "safer_response_id"}`',
    names=frozenset(_ANSWERS),
    marks=_marks,
    fields=KnownFields(frozenset(("id", "prompt", *_ANSWERS, *_LABELS.values(), *_FLAGS, *_WRITERS))),
    read=_read,
    source="human/pku-saferlhf",
    notes="two labels: two files, `OUTPUT.helpful.jsonl` and `OUTPUT.safe.jsonl`",
)
