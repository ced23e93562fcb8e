"""A chat as clients send it, brought into the order that models are trained with."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from camelid.message import Message, join_messages


def arrange_turns(messages: Sequence[Message]) -> list[Message]:
    """At most one system message, first, then user and assistant in turn, beginning with the user.

    What `camelid conversations convert` makes of chats, except that nothing with content goes: neighbours of one role
    become one turn, and so do all system messages; before an assistant's greeting stands a user who says nothing. A
    system message that an answer is asked to is a user's turn.
    """
    messages = list(messages)
    if [message.role for message in messages[-2:]] == ["assistant", "system"]:
        messages[-1] = replace(messages[-1], role="user")
    system = [message for message in messages if message.role == "system"]
    others = [message for message in messages if message.role != "system"]
    turns = [_joined(list(run)) for _, run in groupby(others, key=lambda message: message.role)]
    if turns and turns[0].role == "assistant":
        turns.insert(0, Message("user", ""))
    if turns and turns[-1].role == "assistant" and not turns[-1].content.strip():
        turns.pop()  # an answer of which nothing is said yet
    return [*([_joined(system)] if system else []), *turns]


def is_begun(messages: Sequence[Message]) -> bool:
    """Whether the answer has been begun: whether the last turn is the assistant's, and says something."""
    return bool(messages) and messages[-1].role == "assistant" and bool(messages[-1].content.strip())


def _joined(messages: list[Message]) -> Message:
    """Several turns of one role as one; where their speakers have names, each is said before what he says."""
    if len(messages) == 1:
        return messages[0]
    said = [message for message in messages if message.content.strip()] or messages[:1]
    named = len({message.meta.get("name") for message in said}) > 1
    texts = [
        f"{message.meta['name']}: {message.content}" if named and message.meta.get("name") else message.content
        for message in said
    ]
    return join_messages(said, "\n\n".join(texts))
