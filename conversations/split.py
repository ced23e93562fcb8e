"""Long conversations into pieces of at most `max_tokens`, cut between exchanges, losing none."""

from conversations.message import Conversation, Message
from conversations.tokenize import Encoder


def split(conversation: Conversation, encoder: Encoder, max_tokens: int) -> list[Conversation]:
    """Cut a conversation at exchange boundaries.

    Every piece repeats the system message. A single exchange longer than the budget becomes a piece of
    its own, still too long: the caller decides what to cut.

    Args:
        conversation: alternating user and assistant turns after an optional system message; a last user
            turn without an answer stays with the last piece.
        encoder: measures the rendered length.
        max_tokens: the budget of a piece.

    Returns:
        The conversation itself if it fits, else pieces with ids `<id>_0`, `<id>_1`, ...
    """
    if encoder.length(conversation) <= max_tokens:
        return [conversation]
    messages = conversation.messages
    system = messages[:1] if messages[0].role == "system" else ()
    exchanges = _exchanges(messages[len(system) :])
    pieces: list[tuple[Message, ...]] = []
    current: tuple[Message, ...] = ()
    for exchange in exchanges:
        longer = (*current, *exchange)
        if current and encoder.length(_piece(conversation, 0, (*system, *longer))) > max_tokens:
            pieces.append(current)
            current = exchange
        else:
            current = longer
    pieces.append(current)
    if len(pieces) == 1:
        return [conversation]
    return [_piece(conversation, index, (*system, *piece)) for index, piece in enumerate(pieces)]


def _exchanges(turns: tuple[Message, ...]) -> list[tuple[Message, ...]]:
    """Pairs of question and answer; a last question without an answer joins the exchange before it."""
    pairs = [turns[index : index + 2] for index in range(0, len(turns), 2)]
    if len(pairs) > 1 and len(pairs[-1]) == 1:
        last = pairs.pop()
        pairs[-1] = (*pairs[-1], *last)
    return pairs


def _piece(conversation: Conversation, index: int, messages: tuple[Message, ...]) -> Conversation:
    return Conversation(f"{conversation.id}_{index}", messages, conversation.meta)
