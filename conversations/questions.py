"""What an evaluation's questions say, from our own and the published files, to be kept out of training data."""

from collections.abc import Iterator
from pathlib import Path

from camelid.errors import UserError
from camelid.files.paths import find_packaged
from camelid.files.read import Record
from camelid.files.records import read_records
from conversations.formats.readers import read_chats
from conversations.formats.table import detect_format

# Prometheus's; Vicuna's, many plain files', Arena-Hard's second version.
_PLAIN = ("orig_instruction", "text", "question", "prompt")
_TALKS = ("conversation_input", "conversation_a")  # WildBench's; of an arena's vote, whose sides are asked the same


def read_question_texts(path: str | Path) -> list[str]:
    """What the user says in each question of a file, turn by turn.

    A question is in `turns` (MT-bench; Arena-Hard's are objects with `content`), in `text`, `question` or `prompt`, in
    `instruction` with its `input` or `instances` (AlpacaEval, Self-Instruct), or is a conversation in any format that
    training reads.

    Raises:
        UserError: the file has no questions, or a field is missing or has the wrong type.
    """
    texts = [text for place, record in read_records(find_packaged(path)) for text in _texts(record, place)]
    if not texts:
        raise UserError(f"{path}: no questions in it")
    return texts


def _texts(record: Record, place: str) -> Iterator[str]:
    if "turns" in record:
        yield from _turns(record["turns"], "turns", place)
    elif plain := next((name for name in _PLAIN if isinstance(record.get(name), str)), None):
        yield record[plain]
    elif isinstance(record.get("instruction"), str):
        yield from _instructions(record, place)
    elif talk := next((name for name in _TALKS if name in record), None):
        yield from _turns(record[talk], talk, place)
    else:
        yield from _asked(record, place)


def _turns(turns: object, field: str, place: str) -> Iterator[str]:
    """Texts, or messages, of which the user's count."""
    if not isinstance(turns, list) or not turns:
        raise UserError(f"{place}: field {field!r} must be a non-empty list of texts, found {turns!r:.60}")
    for index, turn in enumerate(turns):
        said = turn.get("content") if isinstance(turn, dict) else turn
        if not isinstance(said, str):
            raise UserError(f"{place}: field '{field}[{index}]' must be text, found {turn!r:.60}")
        if not isinstance(turn, dict) or turn.get("role", "user") == "user":
            yield said


def _instructions(record: Record, place: str) -> Iterator[str]:
    instances = record.get("instances") or [record]
    if not isinstance(instances, list) or not all(isinstance(instance, dict) for instance in instances):
        raise UserError(f"{place}: field 'instances' must be a list of objects with 'input'")
    for instance in instances:
        given = instance.get("input")
        if not isinstance(given, str | None):
            raise UserError(f"{place}: field 'input' must be text, found {given!r:.60}")
        yield f"{record['instruction']}\n\n{given or ''}".strip()


def _asked(record: Record, place: str) -> Iterator[str]:
    """The user's turns of a conversation."""
    try:
        format = detect_format(record, place)
    except UserError:
        fields = "'turns', 'text', 'question', 'prompt', 'instruction' or a conversation's"
        raise UserError(f"{place}: no question found; expected a field {fields}") from None
    for chat in read_chats(record, place, format.name):
        if chat.lost:
            raise UserError(f"{place}: not text alone ({', '.join(chat.lost)}): no question")
        yield from (message.content for message in chat.conversation.messages if message.role == "user")
