"""What a reader makes of a record: a conversation, and the turns of it that a conversation cannot hold."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from camelid.message import Conversation, Message, Role, join_messages

Branches = Literal["all", "last"]

TOOL = "exchange that used a tool"
MEDIA = "exchange with an image, sound or file"
HIDDEN = "turn that the page does not show"
NO_TEXT = "exchange with a turn that has no text"
CONTINUED = "answer joined with its beginning"
UNEQUAL = "smallest weight of its parts taken for the whole turn"
ENDLESS = "exchange whose answer never comes to an end of its thinking"


def media_reason(name: str) -> str:
    """Why an exchange is lost that has something besides text; `name` is that of the field or part that holds it."""
    return f"{MEDIA} ({name})"


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


@dataclass(slots=True)
class Chat:
    """One conversation as it was read.

    Attributes:
        conversation: its turns; there may be none.
        lost: how many turns were left out, by reason.
        set_aside: how often each field went to `meta`, by its name; of turns, with what lists them: `messages[].name`.
        repaired: how many turns were changed while they were read, by kind of change.
        page: whether answers are as a chat page showed them, so that the page's HTML and captions are to be cleaned.
    """

    conversation: Conversation
    lost: Counter[str] = field(default_factory=Counter)
    set_aside: Counter[str] = field(default_factory=Counter)
    repaired: Counter[str] = field(default_factory=Counter)
    page: bool = False


def make_chat(name: str, turns: Iterable[Message | LostTurn], meta: dict[str, Any]) -> Chat:
    """Leave out what is lost, together with its exchange where that makes no sense without it."""
    turns = list(turns)
    messages = [turn for turn in turns if isinstance(turn, Message)]
    if len(messages) == len(turns):
        return Chat(Conversation(name, tuple(messages), meta))
    lost: Counter[str] = Counter()
    messages.clear()
    for exchange in exchanges(turns):
        reason = next((turn.reason for turn in exchange if isinstance(turn, LostTurn) and turn.with_exchange), None)
        if reason:
            lost[reason] += len(exchange)
            continue
        lost.update(turn.reason for turn in exchange if isinstance(turn, LostTurn))
        messages += [turn for turn in exchange if isinstance(turn, Message)]
    return Chat(Conversation(name, tuple(messages), meta), lost)


def exchanges(turns: Iterable[Message | LostTurn]) -> Iterator[list[Message | LostTurn]]:
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


def continue_answer(begun: Message, rest: Message) -> Message:
    """An answer that was begun in one turn and goes on in the next, which may repeat its beginning."""
    whole = rest.content if rest.content.startswith(begun.content) else begun.content + rest.content
    return join_messages((begun, rest), whole)
