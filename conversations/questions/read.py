"""The questions of our own and the published files, for those who ask them and for those who keep them out of data."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camelid.errors import UserError
from camelid.files.paths import find_packaged
from camelid.files.read import Record
from camelid.message import Message, Role
from conversations.formats.chat import Branches
from conversations.formats.readers import read_chats
from conversations.formats.table import detect_format
from conversations.questions.fields import text_at, texts_at
from conversations.questions.records import INSPECT, content_text, inspect_id, read_file_records

_PLAIN = ("text", "question", "prompt")  # Vicuna's; many plain files'; Arena-Hard's second version


@dataclass(frozen=True, slots=True)
class PosedQuestion:
    """A question as its file has it.

    Attributes:
        id: what the file calls it, or else its place.
        category: of the file; `all` where it has none.
        talk: what is said. The assistant's turns are context of a question that is `whole`, and answers in any other.
            Empty for a vote in a file that does not say what was asked, and for a conversation without a turn.
        reference: the right answer, or a list of them by turns, where the file has any beside the talk; and
        system: the system message, if there is one; both as the file has them, to be checked by those who ask.
        whole: whether it is one question, of several turns or not, that gets one answer at its end.
    """

    id: str
    category: str
    talk: tuple[Message, ...]
    reference: object = None
    system: object = None
    whole: bool = False

    @property
    def said(self) -> tuple[str, ...]:
        """What the user says, turn by turn."""
        return tuple(message.content for message in self.talk if message.role == "user")


def read_posed(path: str | Path, branches: Branches) -> Iterator[tuple[str, PosedQuestion]]:
    """Yield `(place, question)` of a file, in any of these shapes.

    A question is in `turns` (MT-bench; Arena-Hard's are objects with `content`), in `text`, `question` or `prompt`, in
    `instruction` with its `input` or `instances` (AlpacaEval, Self-Instruct), in `orig_instruction` (Prometheus), in
    `conversation_input` (WildBench) or `conversation_a` (an arena's vote), in a sample of Inspect's logs, or is a
    conversation in any format that training reads.

    Args:
        path: records in any packing; `name` of a file that comes with Camelid will do.
        branches: of a conversation that is a tree, see `read_chats`.

    Raises:
        UserError: a field is missing or has the wrong type.
    """
    for place, record in read_file_records(find_packaged(path)):
        for question in posed_in(record, place, branches):
            yield place, question


def read_question_texts(path: str | Path) -> list[str]:
    """What the user says in each question of a file, turn by turn, in all branches of a tree.

    Raises:
        UserError: the file has no questions, a vote does not say what was asked, or see `read_posed`.
    """
    texts: list[str] = []
    for place, question in read_posed(path, "all"):
        if question.whole and not question.talk:
            raise _no_question(place)
        texts.extend(question.said)
    if not texts:
        raise no_questions_error(path)
    return texts


def no_questions_error(path: str | Path) -> UserError:
    """What to raise for a file without questions."""
    return UserError(f"{path}: no questions in it")


def question_name(record: Record, place: str) -> str:
    """What a record calls its question, or else where it is."""
    own = (record.get(name) for name in ("question_id", "id", "uid", "session_id", "key"))
    return str(next((value for value in own if value is not None), place.rsplit("/", 1)[-1]))


def posed_in(record: Record, place: str, branches: Branches) -> Iterator[PosedQuestion]:
    """The questions of a record: what gives much away is asked for before what gives little."""
    name = question_name(record, place)
    category = str(record.get("category", record.get("dataset", record.get("primary_tag", "all"))))
    if INSPECT in record:
        yield _from_log(record, place)
    elif "orig_instruction" in record:
        said = Message("user", text_at(record["orig_instruction"], "orig_instruction", place))
        right = record.get("orig_reference_answer")
        yield PosedQuestion(name, category, (said,), right if isinstance(right, str) else None)
    elif "conversation_input" in record:
        talk = _messages(record["conversation_input"], "conversation_input", place)
        yield PosedQuestion(name, category, talk, None, record.get("system"), whole=True)
    elif "conversation_a" in record:  # of a vote, whose sides were asked the same
        side = record["conversation_a"]
        asked = [one for one in side if _speaker(one) == "user"] if isinstance(side, list) else side
        talk = _messages(asked, "conversation_a", place)
        yield PosedQuestion(name, category, talk, None, record.get("system"), whole=True)
    elif "turns" in record:
        yield _from_turns(record, place, name, category)
    elif plain := next((field for field in _PLAIN if isinstance(record.get(field), str)), None):
        right = record.get("reference")
        reference = right[:1] if isinstance(right, list) else right
        yield PosedQuestion(name, category, (Message("user", record[plain]),), reference, record.get("system"))
    elif isinstance(record.get("instruction"), str):
        yield from _from_instruction(record, place, name, category)
    elif {"model_a", "model_b", "winner"} <= record.keys():
        yield PosedQuestion(name, category, (), whole=True)
    else:
        yield from _from_chat(record, place, name, category, branches)


def _messages(turns: Any, field: str, place: str) -> tuple[Message, ...]:
    """Messages, or texts, which the user says; whoever else speaks, a tool say, stands on the assistant's side."""
    texts = texts_at(turns, field, place)
    if not texts:
        raise UserError(f"{place}: field {field!r} must not be empty")
    roles = [_ROLES.get(_speaker(one), "assistant") for one in turns]
    talk = tuple(Message(role, text) for role, text in zip(roles, texts, strict=True))
    if not any(message.role == "user" for message in talk):
        raise UserError(f"{place}: field {field!r} holds nothing that a user asked")
    return talk


_ROLES: Mapping[str, Role] = {"user": "user", "system": "system"}


def _speaker(turn: object) -> str:
    return str(turn.get("role", "user")) if isinstance(turn, dict) else "user"


def _from_turns(record: Record, place: str, name: str, category: str) -> PosedQuestion:
    """Our own questions, MT-bench's and Arena-Hard's."""
    messages = _messages(record["turns"], "turns", place)
    told = "\n\n".join(message.content for message in messages if message.role == "system")
    talk = tuple(message for message in messages if message.role != "system")
    return PosedQuestion(name, category, talk, record.get("reference"), record.get("system") or told)


def _from_log(sample: Record, place: str) -> PosedQuestion:
    """An Inspect sample: what was asked, and its target."""
    asked = sample.get("input")
    talk = asked if isinstance(asked, list) else [{"role": "user", "content": asked}]
    systems = [content_text(one.get("content"), sample) for one in talk if one.get("role") == "system"]
    texts = [content_text(one.get("content"), sample) for one in talk if one.get("role") == "user"]
    if not "".join(texts):
        raise UserError(f"{place}: field 'input' holds nothing that a user asked")
    target = sample.get("target")
    right = "\n".join(str(one) for one in target) if isinstance(target, list) else str(target or "")
    said = tuple(Message("user", text) for text in texts)
    category = str(sample[INSPECT].get("task", "all"))
    return PosedQuestion(inspect_id(sample), category, said, right, "\n\n".join(systems), whole=True)


def _from_instruction(record: Record, place: str, name: str, category: str) -> Iterator[PosedQuestion]:
    """Self-Instruct's 252 have instances with inputs and answers; AlpacaEval's output is a rival's, no reference."""
    instances = record.get("instances") or [record]
    if not isinstance(instances, list) or not all(isinstance(instance, dict) for instance in instances):
        raise UserError(f"{place}: field 'instances' must be a list of objects with 'input'")
    for index, instance in enumerate(instances):
        given = text_at("" if instance.get("input") is None else instance["input"], "input", place)
        answer = None if "generator" in instance else instance.get("output")
        asked = Message("user", f"{record['instruction']}\n\n{given}".strip())
        one = name if len(instances) == 1 else f"{name}_{index}"
        yield PosedQuestion(one, category, (asked,), str(answer) if answer else None, record.get("system"))


def _from_chat(record: Record, place: str, name: str, category: str, branches: Branches) -> Iterator[PosedQuestion]:
    """A conversation in any format that training reads."""
    try:
        format = detect_format(record, place)
    except UserError:
        raise _no_question(place) from None
    chats = list(read_chats(record, place, format.name, branches))
    if not chats:
        yield PosedQuestion(name, category, ())
    for chat in chats:
        if chat.lost:
            raise UserError(f"{place}: not text alone ({', '.join(chat.lost)}): no question")
        talk = chat.conversation.messages
        told = [message.content for message in talk[:1] if message.role == "system"]
        yield PosedQuestion(name, category, talk[len(told) :], None, "".join(told))


def _no_question(place: str) -> UserError:
    fields = "'turns', 'text', 'question', 'prompt', 'instruction' or a conversation's"
    return UserError(f"{place}: no question found; expected a field {fields}")
