"""What a reader makes of a record: a conversation, and the turns of it that a conversation cannot hold."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from camelid.message import Conversation, Message, Role

Branches = Literal["all", "last"]

TOOL = "exchange that used a tool"
MEDIA = "exchange with an image, sound or file"
HIDDEN = "turn that the page does not show"


@dataclass(frozen=True, slots=True)
class LostTurn:
    """A turn that is no text of user, assistant or system.

    Attributes:
        reason: why, for the ledger.
        with_exchange: whether the question and the answers around it make no sense without it.
        role: who spoke.
    """

    reason: str
    with_exchange: bool = False
    role: Role = "assistant"


@dataclass(frozen=True, slots=True)
class Chat:
    """One conversation as it was read.

    Attributes:
        conversation: its turns; there may be none.
        lost: how many turns were left out, by reason.
    """

    conversation: Conversation
    lost: Counter[str] = field(default_factory=Counter)


def make_chat(name: str, turns: Iterable[Message | LostTurn], meta: dict[str, Any]) -> Chat:
    """Leave out what is lost, together with its exchange where that makes no sense without it."""
    messages: list[Message] = []
    lost: Counter[str] = Counter()
    for exchange in _exchanges(turns):
        reason = next((turn.reason for turn in exchange if isinstance(turn, LostTurn) and turn.with_exchange), None)
        if reason:
            lost[reason] += len(exchange)
            continue
        lost.update(turn.reason for turn in exchange if isinstance(turn, LostTurn))
        messages += [turn for turn in exchange if isinstance(turn, Message)]
    return Chat(Conversation(name, tuple(messages), meta), lost)


def _exchanges(turns: Iterable[Message | LostTurn]) -> Iterator[list[Message | LostTurn]]:
    """A user's turns and what follows up to the next; what stands before the first user turn comes alone."""
    exchange: list[Message | LostTurn] = []
    asking = False
    for turn in turns:
        user = turn.role == "user"
        if (user and not asking) or turn.role == "system":
            if exchange:
                yield exchange
            exchange = []
        exchange.append(turn)
        asking = user
    if exchange:
        yield exchange
