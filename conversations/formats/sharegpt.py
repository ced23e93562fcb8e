"""ShareGPT: what users shared of their chats, each turn with its speaker."""

from camelid.errors import UserError, suggest_name
from camelid.files.read import Record
from camelid.message import Conversation, Message, Role, record_id
from conversations.formats.chat import Branches, Chat
from conversations.formats.fields import text_field
from conversations.formats.record_format import RecordFormat

# Names seen in ShareGPT exports, github.com/lm-sys/FastChat, fastchat/data/clean_sharegpt.py.
_ROLES: dict[str, Role] = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "assistant": "assistant",
    "system": "system",
}


def _read(record: Record, place: str, branches: Branches) -> list[Chat]:
    """The chat; values are taken as they are (HTML included)."""
    messages = []
    for index, turn in enumerate(record["conversations"]):
        where = f"{place}: conversations[{index}]"
        if not isinstance(turn, dict):
            raise UserError(f"{where} must be an object with 'from' and 'value', found {type(turn).__name__}")
        speaker = turn.get("from")
        if not isinstance(speaker, str) or speaker not in _ROLES:
            raise UserError(f"{where}.from: unknown role {speaker!r}{suggest_name(str(speaker), _ROLES)}")
        messages.append(Message(_ROLES[speaker], text_field(turn, "value", where)))
    return [Chat(Conversation(record_id(record, place), tuple(messages)))]


SHAREGPT = RecordFormat(
    name="sharegpt",
    called="ShareGPT",
    field="conversations",
    looks_like='`{"conversations": [{"from": "human", "value": ...}]}`',
    is_one=lambda record: isinstance(record.get("conversations"), list),
    read=_read,
    notes="values in HTML or Markdown",
    turns="conversations",
)
