"""Long conversations into pieces of at most `max_tokens`, cut between exchanges, losing none."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from camelid.errors import UserError
from camelid.files.ledger import Ledger
from camelid.message import Conversation, Message
from conversations.tokens.fit_tools import cut_exchanges
from conversations.tokens.tokenize import Encoder
from conversations.unique_ids import with_unique_id

Overlong = Literal["drop", "truncate-answer", "keep-last"]
Exchange = tuple[Message, ...]
EXCHANGE_TOO_LONG = "exchange longer than max_tokens"
SYSTEM_TOO_LONG = "system message alone longer than max_tokens"


@dataclass
class Splitting:
    """A data set split; the counts are complete when its pieces have been drawn.

    Attributes:
        encoder, max_tokens, overlong: see `split_conversation`.
        conversations: what became of every conversation.
        exchanges: what became of every exchange.
        faults: why the template cannot write a conversation, for each that was dropped for it.
        too_long: the pieces that are longer than `max_tokens` without a policy for them, each with its length.
        pieces: how many came out.
    """

    encoder: Encoder
    max_tokens: int
    overlong: Overlong | None = None
    conversations: Ledger = field(default_factory=lambda: Ledger("conversations"))
    exchanges: Ledger = field(default_factory=lambda: Ledger("exchanges"))
    faults: list[str] = field(default_factory=list)
    too_long: list[str] = field(default_factory=list)
    pieces: int = 0

    def run(self, conversations: Iterable[Conversation]) -> Iterator[Conversation]:
        """Yield the pieces in order, each with an id of its own."""
        ids: set[str] = set()
        for conversation in conversations:
            exchanges = Ledger("exchanges")
            try:
                pieces = split_conversation(conversation, self.encoder, self.max_tokens, self.overlong, exchanges)
            except UserError as error:
                self.conversations.drop("the template cannot write it")
                questions = sum(message.role == "user" for message in conversation.messages)
                self.exchanges.drop("in a conversation that was dropped", questions)
                self.faults.append(str(error))
                continue
            self.exchanges.add(exchanges)
            if not pieces:
                self.conversations.drop("no exchange left")
                continue
            self.conversations.keep()
            if len(pieces) > 1:
                self.conversations.repair("split")
            for piece in pieces:
                self.pieces += 1
                named = with_unique_id(piece, ids, self.conversations)
                if exchanges.noted and (length := self.encoder.length(named)) > self.max_tokens:
                    self.too_long.append(f"{named.id}: {length} tokens")
                yield named


def split_conversation(
    conversation: Conversation,
    encoder: Encoder,
    max_tokens: int,
    overlong: Overlong | None = None,
    ledger: Ledger | None = None,
) -> list[Conversation]:
    """Cut a conversation at exchange boundaries into as few pieces as it takes, in order.

    Every piece repeats the system message, which counts like the rest: what is measured is the whole render.

    Args:
        conversation: exchanges after an optional system message; a last user turn without an answer stays with the
            last piece.
        encoder: measures the rendered length.
        max_tokens: the budget of a piece.
        overlong: what becomes of a single exchange that is longer than the budget:

            - None: a piece of its own, still too long, which the ledger notes; the caller decides.
            - `drop`: it goes.
            - `truncate-answer`: its answer is cut at the end; `meta["truncated"]` tells the encoder not to train
              the end of turn, which the full answer would not have had there.
            - `keep-last`: its question is cut at the beginning; the answer stays whole.

            An exchange that no cut can make fit (the other half, or the system message, alone is too long) is dropped.
        ledger: counts exchanges, so that kept + dropped = read: dropped by reason, repaired where cut, noted where
            too long.

    Returns:
        The conversation itself if it fits, else pieces with ids `<id>_0`, `<id>_1`, ...; with a policy, none if
        nothing is left.
    """
    ledger = ledger if ledger is not None else Ledger("exchanges")
    messages = conversation.messages
    system = messages[:1] if messages and messages[0].role == "system" else ()
    exchanges = _exchanges(messages[len(system) :])
    if encoder.length(conversation) <= max_tokens:
        ledger.keep(len(exchanges))
        return [conversation]

    def fits(turns: Sequence[Message], truncated: bool = False) -> bool:
        return encoder.length(_piece(conversation, 0, (*system, *turns), truncated)) <= max_tokens

    pieces: list[tuple[Exchange, bool]] = []  # turns, and whether the last answer was cut
    done, guess = 0, 1
    while done < len(exchanges):
        count = _most(exchanges[done:], fits, guess)
        if count:
            pieces.append((_join_exchanges(exchanges[done : done + count]), False))
            ledger.keep(count)
        elif overlong is None:
            pieces.append((exchanges[done], False))
            ledger.keep()
            alone = system and not fits(_beginning(exchanges[done]))
            ledger.note(SYSTEM_TOO_LONG if alone else EXCHANGE_TOO_LONG)
        elif system and not fits(_beginning(exchanges[done])):
            ledger.drop(SYSTEM_TOO_LONG)
        else:
            kept = _shorten_exchange(exchanges[done], fits, overlong, ledger)
            pieces += [(kept, overlong == "truncate-answer")] if kept else []
        done += max(count, 1)
        guess = max(count, 1)
    if len(exchanges) == 1 and overlong is None:
        return [conversation]
    return [_piece(conversation, index, (*system, *turns), cut) for index, (turns, cut) in enumerate(pieces)]


def _most(exchanges: Sequence[Exchange], fits: Callable[[Sequence[Message]], bool], guess: int) -> int:
    """How many exchanges fit into one piece, 0 if not even the first; few measurements, none far too long."""
    low, high = 0, min(guess, len(exchanges))
    while fits(_join_exchanges(exchanges[:high])):
        low = high
        if low == len(exchanges):
            return low
        high = min(low + max(1, low // 2), len(exchanges))
    while high - low > 1:
        middle = (low + high) // 2
        if fits(_join_exchanges(exchanges[:middle])):
            low = middle
        else:
            high = middle
    return low


def _shorten_exchange(
    exchange: Exchange, fits: Callable[..., bool], overlong: Overlong, ledger: Ledger
) -> Exchange | None:
    """One exchange cut to the budget as the policy says; None if it goes."""
    if len(exchange) > 1 and exchange[-1].role == "user":  # a last question without an answer teaches nothing
        exchange = exchange[:-1]
        if fits(exchange):
            ledger.keep()
            ledger.repair("last question without an answer cut off")
            return exchange
    if overlong == "drop" or len(exchange) != 2:  # where tools were used, no half makes sense without the other
        ledger.drop(EXCHANGE_TOO_LONG)
        return None
    question, answer = exchange
    truncated = overlong == "truncate-answer"
    text = answer.content if truncated else question.content

    def part(size: int) -> Exchange:
        if truncated:
            return question, replace(answer, content=text[:size].rstrip())
        return replace(question, content=text[len(text) - size :].lstrip()), answer

    low, high = 0, len(text)  # `low` characters fit, `high` do not
    while high - low > 1:
        middle = (low + high) // 2
        if fits(part(middle), truncated):
            low = middle
        else:
            high = middle
    kept = part(low)
    if not low or not all(message.content for message in kept):
        whole = "question" if overlong == "truncate-answer" else "answer"
        ledger.drop(f"{whole} alone longer than max_tokens")
        return None
    ledger.keep()
    ledger.repair("answer truncated" if truncated else "question cut at its beginning")
    return kept


def _beginning(exchange: Exchange) -> Exchange:
    """An exchange of the same shape that takes next to no room."""
    return tuple(replace(message, content=message.content[:1], tool_calls=()) for message in exchange[:2])


def _exchanges(turns: Sequence[Message]) -> list[Exchange]:
    """The exchanges; a last question without an answer joins the one before it."""
    found = cut_exchanges(turns)
    if len(found) > 1 and len(found[-1]) == 1:
        last = found.pop()
        found[-1] = (*found[-1], *last)
    return found


def _join_exchanges(exchanges: Sequence[Exchange]) -> Exchange:
    return tuple(message for exchange in exchanges for message in exchange)


def _piece(conversation: Conversation, index: int, messages: Exchange, truncated: bool = False) -> Conversation:
    meta = {name: value for name, value in conversation.meta.items() if name != "truncated"}
    if truncated or (conversation.meta.get("truncated") and messages[-1] is conversation.messages[-1]):
        meta["truncated"] = True
    return Conversation(f"{conversation.id}_{index}", messages, meta, conversation.tools)
