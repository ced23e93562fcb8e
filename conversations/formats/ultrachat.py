"""UltraChat's records: the texts of user and assistant by turns, without their names."""

from itertools import cycle

from camelid.errors import UserError
from camelid.files.read import Record
from camelid.message import Role, record_id
from conversations.formats.chat import Branches, Chat, make_chat
from conversations.formats.fields import KnownFields
from conversations.formats.record_format import RecordFormat
from conversations.formats.turns import read_text

_SPEAKERS: tuple[Role, Role] = ("user", "assistant")


def _read(record: Record, place: str, branches: Branches) -> list[Chat]:
    texts = record["data"]
    if not isinstance(texts, list):
        raise UserError(f"{place}: field 'data' must be a list of texts, found {type(texts).__name__}")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise UserError(f"{place}: data[{index}] must be a string, found {text!r}")
    turns = (read_text(role, text) for role, text in zip(cycle(_SPEAKERS), texts, strict=False))
    return [make_chat(record_id(record, place), turns, {})]


ULTRACHAT = RecordFormat(
    name="ultrachat",
    called="UltraChat",
    field="data",
    looks_like='`{"data": ["question", "answer", ...]}`',
    fields=KnownFields(frozenset(("id", "data"))),
    is_one=lambda record: isinstance(record.get("data"), list) and isinstance((record["data"] or [""])[0], str),
    read=_read,
    notes="UltraChat",
    turns="data",
)
