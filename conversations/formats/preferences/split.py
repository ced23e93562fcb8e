"""The one place that tells a prompt from its answers: what two chats begin with, or all before a last answer."""

from collections.abc import Sequence
from itertools import groupby, takewhile

from camelid.message import Message, join_messages
from conversations.formats.chat import Chat
from conversations.preference import AnswerText

EQUAL = "equal answers"
DIFFER = "prompts that differ"
NO_ANSWER = "no answer at the end"
EMPTY = "empty answer"
NO_QUESTION = "prompt that does not end with the user's question"
BEGINS_WITH_ANSWER = "prompt that begins with an answer"
SEVERAL = "answers of several turns"
JOINED = "turns of one role joined"

Prompt = tuple[Message, ...]


def split_pair(
    chosen: Chat, rejected: Chat, models: tuple[str | None, str | None] = (None, None)
) -> tuple[Prompt, AnswerText, AnswerText] | str:
    """The prompt of two chats and the answer of each; or why there is none."""
    for chat in (chosen, rejected):
        if chat.lost:
            return next(iter(chat.lost))
    one, two = (join_roles(chat.conversation.messages) for chat in (chosen, rejected))
    if not (one and two and one[-1].role == two[-1].role == "assistant"):
        return NO_ANSWER
    if [*map(_said, one)] == [*map(_said, two)]:
        return EQUAL
    common = len([*takewhile(lambda both: _said(both[0]) == _said(both[1]), zip(one, two, strict=False))])
    if len(one) - common > 1 or len(two) - common > 1:
        diverging = {turns[common].role for turns in (one, two) if common < len(turns)}
        return SEVERAL if diverging == {"assistant"} else DIFFER
    prompt = tuple(one[:common])
    fault = _prompt_fault(prompt) or next((EMPTY for last in (one[-1], two[-1]) if not last.content.strip()), None)
    return fault or (prompt, _answer(one[-1], models[0]), _answer(two[-1], models[1]))


def split_last(chat: Chat, model: str | None = None) -> tuple[Prompt, AnswerText] | str:
    """What comes before a chat's last answer, and that answer; or why there is none."""
    if chat.lost:
        return next(iter(chat.lost))
    turns = join_roles(chat.conversation.messages)
    if not turns or turns[-1].role != "assistant":
        return NO_ANSWER
    fault = _prompt_fault(turns[:-1]) or (None if turns[-1].content.strip() else EMPTY)
    return fault or (tuple(turns[:-1]), _answer(turns[-1], model))


def join_roles(messages: Sequence[Message]) -> list[Message]:
    """The turns with those of one role that follow each other joined."""
    groups = ([*turns] for _, turns in groupby(messages, key=lambda message: message.role))
    return [
        turns[0] if len(turns) == 1 else join_messages(turns, "\n\n".join(turn.content for turn in turns))
        for turns in groups
    ]


def _said(message: Message) -> tuple[str, str]:
    return message.role, message.content


def _prompt_fault(prompt: Sequence[Message]) -> str | None:
    asked = [message.role for message in prompt if message.role != "system"]
    if not asked or prompt[-1].role != "user":
        return NO_QUESTION
    return BEGINS_WITH_ANSWER if asked[0] == "assistant" else None


def _answer(message: Message, model: str | None) -> AnswerText:
    return AnswerText(message.content, model, message.truncated, message.reasoning)
