"""A chat as clients send it, brought into the order that models are trained with."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from camelid.message import Message, join_messages


def arrange_turns(messages: Sequence[Message]) -> list[Message]:
    """At most one system message, first, then user and assistant in turn, beginning with the user.

    What `camelid conversations convert` makes of chats, except that nothing with content goes: neighbours of one role
    become one turn, but what tools gave, and so do all system messages; before an assistant's greeting stands a user
    who says nothing. A system message that an answer is asked to is a user's turn.
    """
    messages = list(messages)
    if [message.role for message in messages[-2:]] == ["assistant", "system"]:
        messages[-1] = replace(messages[-1], role="user")
    system = [message for message in messages if message.role == "system"]
    others = [message for message in messages if message.role != "system"]
    numbered = groupby(enumerate(others), key=lambda one: (one[1].role, one[0] if one[1].role == "tool" else None))
    turns = [_joined([message for _, message in run]) for _, run in numbered]
    if turns and turns[0].role == "assistant":
        turns.insert(0, Message("user", ""))
    last = turns[-1] if turns else None
    if last is not None and last.role == "assistant" and not last.content.strip() and not last.tool_calls:
        turns.pop()  # an answer of which nothing is said yet
    return [*([_joined(system)] if system else []), *turns]


def is_begun(messages: Sequence[Message]) -> bool:
    """Whether the answer has been begun: whether the last turn is the assistant's, and says something."""
    return bool(messages) and messages[-1].role == "assistant" and bool(messages[-1].content.strip())


def _joined(messages: list[Message]) -> Message:
    """Several turns of one role as one; where their speakers have names, each is said before what he says."""
    if len(messages) == 1:
        return messages[0]
    said = [message for message in messages if message.content.strip() or message.tool_calls] or messages[:1]
    named = len({message.meta.get("name") for message in said}) > 1
    texts = [
        f"{message.meta['name']}: {message.content}" if named and message.meta.get("name") else message.content
        for message in said
        if message.content
    ]
    return join_messages(said, "\n\n".join(texts))
