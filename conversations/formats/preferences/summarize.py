"""OpenAI's comparisons of summaries (Stiennon et al. 2020): a post or an article, two summaries, a choice."""

from camelid.errors import UserError
from camelid.files.read import Record
from conversations.formats.fields import KnownFields, list_field, text_field
from conversations.formats.preferences.answers import choice_field, text_chat, writer_field
from conversations.formats.preferences.preference_format import Compared, PreferenceFormat, all_fields

_NAMES = ("info", "summaries", "choice")
_PARTS = (("subreddit", "r/"), ("title", ""), ("post", ""))
_MIDDLE, _ENDS = 5, (1, 9)  # of the scale of confidence: surely the first, undecided, surely the second (appendix C)


def _read(record: Record, place: str) -> list[Compared]:
    info, summaries = record["info"], list_field(record, "summaries", place)
    if not isinstance(info, dict):
        raise UserError(f"{place}: field 'info' must be an object, found {type(info).__name__}")
    if len(summaries) != 2 or not all(isinstance(one, dict) for one in summaries):
        raise UserError(f"{place}: field 'summaries' must be two objects with 'text'")
    prompt, name = _prompt(info, f"{place}: info"), str(info.get("id") or place)
    texts = [text_field(one, "text", f"{place}: summaries[{at}]") for at, one in enumerate(summaries)]
    writers = [writer_field(one, "policy", f"{place}: summaries[{at}]") for at, one in enumerate(summaries)]
    best = choice_field(record, "choice", place)
    grade = _grade(record, best, place)
    return [
        Compared(
            text_chat(name, prompt, texts[best].strip()),
            text_chat(name, prompt, texts[1 - best].strip()),
            (writers[best], writers[1 - best]),
            grade,
        )
    ]


def _prompt(info: Record, where: str) -> str:
    """The query as the paper wrote it (appendix B.2), of a post; an article stands alone before its `TL;DR:`."""
    if not info.get("post"):
        return f"{text_field(info, 'article', where).strip()}\n\nTL;DR:"
    parts = [
        f"{name.upper()}: {opening}{text_field(info, name, where).strip()}"
        for name, opening in _PARTS
        if info.get(name)
    ]
    return "\n".join(parts) + "\n\nTL;DR:"


def _grade(record: Record, best: int, place: str) -> int | None:
    """Confidence as a grade; None where none was asked, or where it speaks for the other summary."""
    extra = record.get("extra")
    confidence = extra.get("confidence") if isinstance(extra, dict) else None
    if confidence is None:
        return None
    if isinstance(confidence, bool) or confidence not in range(_ENDS[0], _ENDS[1] + 1):
        raise UserError(f"{place}: field 'extra.confidence' must be from 1 to 9, found {confidence!r}")
    sure = (confidence - _MIDDLE) * (1 if best else -1)
    return max(0, int(sure) - 1) if sure >= 0 else None


SUMMARIZE = PreferenceFormat(
    name="summarize",
    called="OpenAI summarize-from-feedback",
    looks_like='`{"info": {"post"}, "summaries": [{"text"}, {"text"}], "choice"}`',
    names=frozenset(("summaries",)),
    marks=all_fields(*_NAMES),
    fields=KnownFields(frozenset(("id", *_NAMES))),
    read=_read,
    source="human/summarize-from-feedback",
    notes="`extra.confidence` (1 to 9) becomes the grade by its distance from the middle",
)
