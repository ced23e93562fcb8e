"""Prompt and completion, both as texts or both as messages: TRL's records, and OpenAI's of before there were chats."""

from camelid.errors import UserError
from camelid.files.read import Record
from camelid.message import record_id
from conversations.formats.chat import Branches, Chat, make_chat
from conversations.formats.fields import KnownFields
from conversations.formats.record_format import RecordFormat
from conversations.formats.turns import TurnList, read_field, read_text

_BOTH = "prompt + completion"
_TURNS = TurnList(_BOTH)


def _read(record: Record, place: str, branches: Branches) -> list[Chat]:
    prompt, completion = record["prompt"], record["completion"]
    if isinstance(prompt, str):
        turns = (read_text("user", prompt), read_field("assistant", record, "completion", place))
        return [make_chat(record_id(record, place), turns, {})]
    if not isinstance(prompt, list) or not isinstance(completion, list):
        raise UserError(f"{place}: fields 'prompt' and 'completion' must be both texts, or both lists of messages")
    untrained = [_untrained(item) for item in prompt]
    return [_TURNS.read({**record, _BOTH: [*untrained, *completion]}, place)]


def _untrained(message: object) -> object:
    """A message of a prompt: an answer in it is no completion, and TRL does not train it either."""
    return {**message, "weight": 0} if isinstance(message, dict) and message.get("role") == "assistant" else message


PROMPT_COMPLETION = RecordFormat(
    name="prompt-completion",
    called="prompt and completion",
    field="completion",
    looks_like='`{"prompt", "completion"}`',
    fields=KnownFields(frozenset(("id", "prompt", "completion"))),
    is_one=lambda record: "completion" in record and isinstance(record.get("prompt"), str | list),
    read=_read,
    notes="texts or messages (TRL, OpenAI); answers in a prompt get weight 0",
)
