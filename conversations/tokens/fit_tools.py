"""A conversation with tools as a template can write it: exchanges that it cannot write are lost, and counted."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from camelid.errors import UserError
from camelid.message import Conversation, Message
from conversations.tokens.span import ChatFormat

LOST_EXCHANGE = "exchange that used a tool lost: the template cannot write it"
LOST_SCHEMAS = "tools that were not called lost: the template cannot write them"
NOTHING_LEFT = "every exchange used a tool, which the template cannot write"


@dataclass(frozen=True)
class FittedTools:
    """What is left.

    Attributes:
        conversation: without what is lost; None if nothing is left.
        lost: how many exchanges are.
        schemas_lost: whether the tools themselves are, in a conversation that goes on without them.
        reason: what the template says of the first of them.
    """

    conversation: Conversation | None
    lost: int = 0
    schemas_lost: bool = False
    reason: str = ""


def fit_tools(conversation: Conversation, template: ChatFormat) -> FittedTools:
    """Leave out the exchanges with tools that the template refuses; others stay, whatever it says of them."""
    if not conversation.tools and not any(map(uses_tool, conversation.messages)):
        return FittedTools(conversation)
    reason = _refusal(conversation, template)
    if reason is None:
        return FittedTools(conversation)
    messages = conversation.messages
    head = messages[:1] if messages[0].role == "system" else ()
    kept, lost, used = list(head), 0, False
    for exchange in cut_exchanges(messages[len(head) :]):
        if not any(map(uses_tool, exchange)):
            kept += exchange
        elif _refusal(replace(conversation, messages=(*head, *exchange)), template):
            lost += 1
        else:
            used = True
            kept += exchange
    if len(kept) == len(head):
        return FittedTools(None, lost, False, reason)
    fitted = replace(conversation, messages=tuple(kept))
    schemas_lost = bool(conversation.tools) and not used and _refusal(fitted, template) is not None
    return FittedTools(replace(fitted, tools=()) if schemas_lost else fitted, lost, schemas_lost and not lost, reason)


def cut_exchanges(turns: Sequence[Message]) -> list[tuple[Message, ...]]:
    """A user's turn and what follows up to the next, in pieces."""
    starts = [index for index, turn in enumerate(turns) if turn.role == "user" or index == 0]
    return [tuple(turns[start:end]) for start, end in pairwise([*starts, len(turns)])]


def uses_tool(message: Message) -> bool:
    """Whether a turn calls a tool, or is what one gave."""
    return bool(message.tool_calls) or message.role == "tool"


def _refusal(conversation: Conversation, template: ChatFormat) -> str | None:
    try:
        template.spans(conversation)
    except UserError as error:
        return str(error)
    return None
