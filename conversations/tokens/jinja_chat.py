"""What a chat template writes of a chat with tools or thinking, and which of it the model is to write.

The texts are marked, so that they are found again in the render; without the marks it must be the render of the texts
themselves. An answer begins where the prompt that asks for it ends, and goes to the token that ends its turn.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from camelid.errors import UserError
from camelid.message import Conversation, Message, Tool
from camelid.text.thinking import closing_tag, end_of_closing, opened_thinking
from conversations.tokens.chat_record import Marker, count_texts, unmarked
from conversations.tokens.jinja_marks import MarkedText, cut_at_marks, mark_text
from conversations.tokens.span import Span, end_weight, loss_weight

REMEMBERED = 1024  # texts


@dataclass(frozen=True)
class AnswerPlace:
    """Where an answer stands in a text, in characters.

    Attributes:
        start: where the model begins to write.
        said: where its thinking is over.
        closes: where its last text ends, and its end of turn begins.
        end: behind the token that ends its turn.
    """

    start: int
    said: int
    closes: int
    end: int


@dataclass(frozen=True)
class JinjaChat:
    """A chat template, as far as this needs it.

    Attributes:
        render: messages and tools as text, with a generation prompt if it is asked for; every text goes through the
            marker.
        refusal: the error for a reason.
        stop: tokens that end a turn of the model's.
        special: finds any of the tokenizer's control tokens.
    """

    render: Callable[[Sequence[Message], Sequence[Tool], bool, Marker], str]
    refusal: Callable[[str], UserError]
    stop: tuple[str, ...]
    special: re.Pattern[str]
    _written: dict[object, str] = field(default_factory=dict)  # the beginnings of a chat are asked for time and again

    def prompt(self, messages: Sequence[Message], tools: Sequence[Tool]) -> list[Span]:
        """See `ChatFormat.prompt`."""
        pieces = self._pieces(messages, tools, True)
        return _spans(pieces, messages, self._standing(messages, tools, pieces))

    def spans(self, conversation: Conversation) -> list[Span]:
        """See `ChatFormat.spans`."""
        messages, tools, last = conversation.messages, conversation.tools, len(conversation.messages) - 1
        pieces = self._pieces(messages, tools, False)
        standing = self._standing(messages, tools, pieces)
        if last in standing or messages[last].role != "assistant":
            self._check_thoughts(messages, standing)
            return _spans(pieces, messages, standing)
        return self._opened(messages, tools, pieces)

    def standing(self, conversation: Conversation) -> frozenset[int]:
        """See `ChatFormat.standing`."""
        messages, last = conversation.messages, len(conversation.messages) - 1
        pieces = self._pieces(messages, conversation.tools, False)
        standing = self._standing(messages, conversation.tools, pieces)
        if last not in standing and messages[last].role == "assistant":
            self._opened(messages, conversation.tools, pieces)
            return frozenset([last])
        return frozenset(standing)

    def _text(self, messages: Sequence[Message], tools: Sequence[Tool], ask: bool, mark: Marker = unmarked) -> str:
        """What the template writes, whatever the weights; remembered."""
        said = tuple((one.role, one.content, one.reasoning, one.tool_calls, one.tool_call_id) for one in messages)
        key = said, json.dumps(tools), ask, mark is unmarked
        if key not in self._written:
            if len(self._written) >= REMEMBERED:
                self._written.clear()
            self._written[key] = self.render(messages, tools, ask, mark)
        return self._written[key]

    def _pieces(self, messages: Sequence[Message], tools: Sequence[Tool], ask: bool) -> list[MarkedText]:
        """What the template writes, cut at the texts."""
        pieces = cut_at_marks(self._text(messages, tools, ask, mark_text))
        if "".join(piece.text for piece in pieces) != self._text(messages, tools, ask):
            raise self.refusal("it changes what somebody says, or writes other text because of it")
        found = Counter(piece.owner for piece in pieces if piece.typed and not piece.thought)
        for index, message in enumerate(messages):
            wanted = count_texts(message)
            again = found[index] > wanted and message.tool_calls  # the name of a function, beside what it gave
            if found[index] != wanted and not again:
                what = "leaves out text" if found[index] < wanted else "repeats text"
                calls = " with its calls" if message.tool_calls else ""
                raise self.refusal(f"it {what} of message {index + 1} ({message.role}{calls})")
        return pieces

    def _standing(
        self, messages: Sequence[Message], tools: Sequence[Tool], pieces: Sequence[MarkedText]
    ) -> dict[int, AnswerPlace]:
        """The answers that stand there as the model writes them."""
        text, standing = "".join(piece.text for piece in pieces), dict[int, AnswerPlace]()
        for index, message in enumerate(messages):
            if message.role != "assistant":
                continue
            prompt = self._text(messages[:index], tools, True)
            if not text.startswith(prompt):
                continue
            answer = self._answer(index, message, len(prompt), pieces)
            alone = text if index == len(messages) - 1 else self._text(messages[: index + 1], tools, False)
            if answer and alone.startswith(text[: answer.end]):
                standing[index] = answer
        return standing

    def _check_thoughts(self, messages: Sequence[Message], standing: dict[int, AnswerPlace]) -> None:
        for index, answer in standing.items():
            if (messages[index].reasoning or "").strip() and answer.said == answer.start:
                raise self.refusal(
                    f"it leaves out what was thought before message {index + 1} (as data.thinking: drop would)"
                )

    def _answer(self, index: int, message: Message, start: int, pieces: Sequence[MarkedText]) -> AnswerPlace | None:
        """Where an answer stands that begins at a place; None if no end of turn follows."""
        text = "".join(piece.text for piece in pieces)
        place, said, thought, closes, later, left = 0, None, 0, start, len(text), count_texts(message)
        for piece in pieces:
            if piece.typed and piece.owner == index and (left or piece.thought):
                closes = place + len(piece.text)
                thought = closes if piece.thought else thought
                left -= not piece.thought
                said = place if said is None and not piece.thought else said
            elif piece.typed and piece.owner > index:
                later = min(later, place)
            place += len(piece.text)
        ends = [(at, at + len(token)) for token in self.stop if (at := text.find(token, closes, later)) >= 0]
        if not ends or closes < start:
            return None
        at, end = min(ends)
        over = thought + self._over(text[thought : at if said is None else said]) if thought else start
        return AnswerPlace(start, over, closes, end)

    def _over(self, after: str) -> int:
        """Where thinking is over in what the template writes behind it, up to the answer's own text."""
        token = self.special.match(after.lstrip())
        return end_of_closing(after) or (len(after) - len(after.lstrip()) + token.end() if token else len(after))

    def _opened(self, messages: Sequence[Message], tools: Sequence[Tool], pieces: list[MarkedText]) -> list[Span]:
        """A chat whose last answer has its thinking begun by the prompt and left out by the template."""
        index, answer = len(messages) - 1, messages[-1]
        asked = self._pieces(messages[:index], tools, True)
        prompt, text = ("".join(piece.text for piece in some) for some in (asked, pieces))
        opened = opened_thinking(prompt)
        before = len(prompt) - len(opened)
        begins = opened and text.startswith(prompt[:before])
        found = self._answer(index, answer, before, pieces) if begins else None
        if found is None:
            raise self.refusal(f"the prompt that asks for message {index + 1} is not how the finished chat begins")
        weight = loss_weight(answer)
        closing = closing_tag(opened) + "\n\n"
        thinking = [
            Span(answer.reasoning or "", weight, True, answer=True, thought=True),
            Span(f"\n{closing}", weight, False, answer=True, thought=bool(answer.reasoning)),
        ]
        standing = self._standing(messages[:index], tools, asked)
        said = _spans(pieces, messages, {index: found}, found.start)
        return [span for span in [*_spans(asked, messages, standing), *thinking, *said] if span.text]


def _spans(
    pieces: Sequence[MarkedText], messages: Sequence[Message], answers: dict[int, AnswerPlace], begin: int = 0
) -> list[Span]:
    """The pieces as spans, from a place on."""
    cuts = sorted({begin, *(at for one in answers.values() for at in (one.start, one.said, one.closes, one.end))})
    spans, place = [], 0
    for piece in pieces:
        for start, end in _cut(place, place + len(piece.text), cuts):
            if start >= begin:
                index = next((one for one, held in answers.items() if held.start <= start < held.end), None)
                text = piece.text[start - place : end - place]
                spans.append(
                    Span(text, 0.0, piece.typed)
                    if index is None
                    else _answer_span(text, piece.typed, start, messages[index], answers[index])
                )
        place += len(piece.text)
    return spans


def _answer_span(text: str, typed: bool, start: int, message: Message, answer: AnswerPlace) -> Span:
    weight = end_weight(message) if start >= answer.closes else loss_weight(message)
    return Span(text, weight, typed, answer=True, thought=start < answer.said)


def _cut(start: int, end: int, cuts: Sequence[int]) -> Iterator[tuple[int, int]]:
    """A stretch in the parts between some places."""
    bounds = [start, *(cut for cut in cuts if start < cut < end), end]
    return pairwise(bounds)
