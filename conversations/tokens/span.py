"""What a template makes of a conversation: stretches of text that know who wrote them and what they weigh."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal, Protocol

from camelid.message import Conversation, Message, Tool


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the prompt.

    Attributes:
        text: the characters.
        weight: share of the loss its tokens carry, 0..1; 0 = not trained.
        typed: whether it is somebody's text (True) or the template's own (False).
        answer: whether the model is to write it: the answer, the blank before it and the end of turn after it.
        thought: whether it is what the model thinks before it answers, or stands around that.
    """

    text: str
    weight: float
    typed: bool
    answer: bool = False
    thought: bool = False


class ChatFormat(Protocol):
    """A way to write conversations: one of Camelid's templates or the Jinja template of a tokenizer.

    Attributes:
        name: what recipes and errors call it.
        bos: who begins the sequence: the `tokenizer` with its BOS token (if it adds one), the template's own
            `text`, or nobody (`none`).
        control: tokens of the template that the tokenizer must know as special tokens.
        stop: strings that end an answer; all of them are special tokens.
        jinja: the format as a Jinja chat template.
        fingerprint: what tells it from others in the names of caches.
        date: what it writes in place of today's date; None if it writes no date of the day.
    """

    @property
    def name(self) -> str: ...
    @property
    def bos(self) -> Literal["tokenizer", "text", "none"]: ...
    @property
    def control(self) -> tuple[str, ...]: ...
    @property
    def stop(self) -> tuple[str, ...]: ...
    @property
    def jinja(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def date(self) -> date | None: ...

    def spans(self, conversation: Conversation) -> list[Span]:
        """The whole conversation with its tools; answers that `standing` names have their message's weight.

        Raises:
            UserError: the format cannot write this conversation.
        """
        ...

    def prompt(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> list[Span]:
        """The chat so far, ending with what makes the model speak: the text `spans` begins with.

        Raises:
            UserError: the format cannot write it.
        """
        ...

    def standing(self, conversation: Conversation) -> frozenset[int]:
        """The answers that stand in the whole as the model writes them, by index of the message.

        A format that leaves out what was thought before earlier answers, say, has none but the last.

        Raises:
            UserError: the format cannot write this conversation.
        """
        ...


def end_weight(message: Message) -> float:
    """Share of the loss of its end of turn: none where a text was cut off, or the model would learn to stop there."""
    return 0.0 if message.truncated else loss_weight(message)


def loss_weight(message: Message) -> float:
    """Share of the loss of a message: only answers are trained, fully unless they say otherwise."""
    if message.role != "assistant":
        return 0.0
    return 1.0 if message.weight is None else message.weight
