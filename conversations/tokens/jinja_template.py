"""Any tokenizer's own Jinja chat template, with the loss mask derived from how it renders.

A chat template says how a conversation is written but not which part of it the model writes. That is found
by rendering conversations whose messages are marks that occur nowhere else:

- the text between the marks is the template's own, the marks' places are where content goes;
- the same with blanks around the marks shows which contents the template trims;
- the render of the messages before an answer, with `add_generation_prompt`, ends where the answer begins.

What was derived is then put together with the real contents and compared with the real render. A template
that does more than put contents into place (drops, moves or rewrites them) is refused with the reason, for
the conversation that shows it. No `{% generation %}` marks are needed.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from jinja2 import TemplateError

from camelid.errors import UserError
from camelid.message import Conversation, Message, Role
from conversations.tokens.span import Span, end_weight, loss_weight

MARK = "\ue010{}\ue011"  # private-use characters: in no template, and no blank for Jinja's trim
LEAD, TAIL = " \n", "\n \n"  # blanks put around a mark; their lengths tell them apart
_DATE_CALL = re.compile(r"strftime_now\(\s*([^)]*?)\s*\)")


@dataclass(frozen=True)
class _Shape:
    """How conversations with the same sequence of roles are written.

    Attributes:
        literals: the template's text before each message and after the last one.
        trims: whether a message loses its leading and its trailing blanks.
        headers: text before the answer that is the model's to write (a blank, an empty `<think>` block), by
            index of the message; the rest of `literals[index]` is the prompt's.
        closes: text after the answer up to and including the end of turn, by index of the message.
        asks: what must follow the generation prompt before the model answers, because the template does not
            write its header on request; empty for most.
    """

    literals: tuple[str, ...]
    trims: tuple[tuple[bool, bool], ...]
    headers: dict[int, str]
    closes: dict[int, str]
    asks: dict[int, str]


class JinjaTemplate:
    """A tokenizer's chat template as a `ChatFormat`.

    Args:
        tokenizer: a Hugging Face tokenizer with a chat template.

    Raises:
        UserError: it has none, it writes today's date, or no end-of-turn token follows an answer.
    """

    bos: Literal["tokenizer", "text", "none"] = "text"  # transformers renders the BOS token as text, too
    control: tuple[str, ...] = ()  # its special tokens are the tokenizer's own

    def __init__(self, tokenizer: Any) -> None:
        self.name = f"chat template of {tokenizer.name_or_path or 'the tokenizer'}"
        if not tokenizer.chat_template:
            raise UserError(f"{tokenizer.name_or_path}: the tokenizer has no chat template; name one with --template")
        self._tokenizer = tokenizer
        self.jinja: str = tokenizer.get_chat_template()
        self._shapes: dict[tuple[Role, ...], _Shape] = {}
        self._refuse_dates()
        self._end = self._end_of_turn()

    @property
    def stop(self) -> tuple[str, ...]:
        return (self._end,)

    def spans(self, conversation: Conversation) -> list[Span]:
        """See `ChatFormat.spans`."""
        messages = conversation.messages
        shape = self._shape(tuple(message.role for message in messages))
        spans = _before(shape, messages)
        spans.append(Span(shape.literals[-1][len(_close(shape, len(messages) - 1)) :], 0.0, False))
        self._check(spans, self._render(messages), f"conversation {conversation.id!r}")
        return [span for span in spans if span.text]

    def prompt(self, messages: Sequence[Message]) -> list[Span]:
        """See `ChatFormat.prompt`."""
        index = len(messages)
        shape = self._shape((*(message.role for message in messages), "assistant"))
        closed = len(_close(shape, index - 1))
        opening = shape.literals[index][closed : len(shape.literals[index]) - len(shape.headers[index])]
        spans = [*_before(shape, messages), Span(opening, 0.0, False)]
        self._check(spans, self._render(messages, True) + shape.asks[index], "the prompt")
        return [span for span in spans if span.text]

    def _render(self, messages: Sequence[Message], ask: bool = False) -> str:
        chat = [{"role": message.role, "content": message.content} for message in messages]
        try:
            text: str = self._tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=ask)
        except (TemplateError, TypeError, ValueError, LookupError) as error:
            raise self._refusal(f"it cannot write {_order(messages)}: {str(error) or type(error).__name__}") from None
        return text

    def _refusal(self, reason: str) -> UserError:
        return UserError(f"{self.name}: {' '.join(reason.split())}; choose one of Camelid's own templates")

    def _refuse_dates(self) -> None:
        text = self._render([Message("user", MARK)], True)
        for call in _DATE_CALL.findall(self.jinja):
            pattern = call[1:-1] if call[:1] in "'\"" else None
            if pattern is None or datetime.now().strftime(pattern) in text:
                raise self._refusal(
                    "it writes today's date, so the same data would give other tokens tomorrow; write a date in place "
                    "of its strftime_now(...) (docs/tune-a-chat-model.md), or"
                )

    def _end_of_turn(self) -> str:
        """The special token after an answer."""
        answer = MARK.format(0)
        text = self._render([Message("user", "Hi"), Message("assistant", answer)])
        special = [
            token.content for token in self._tokenizer.added_tokens_decoder.values() if token.special and token.content
        ]
        found = re.search(rf"{answer}\s*({'|'.join(map(re.escape, sorted(special, key=len, reverse=True)))})", text)
        if not found or not special:
            raise self._refusal("no end-of-turn token follows an answer, so a model trained with it would never stop")
        return found[1]

    def _shape(self, roles: tuple[Role, ...]) -> _Shape:
        if roles not in self._shapes:
            self._shapes[roles] = self._derive(roles)
        return self._shapes[roles]

    def _derive(self, roles: tuple[Role, ...]) -> _Shape:
        """Render marks in place of the messages and read off where they went."""
        marks = [Message(role, MARK.format(index)) for index, role in enumerate(roles)]
        literals = self._literals(marks, self._render(marks))
        trims = self._trims(marks, literals)
        headers, closes, asks = {}, {}, {}
        end = re.compile(rf"\s*{re.escape(self._end)}")
        for index, role in enumerate(roles):
            if role != "assistant":
                continue
            headers[index], asks[index] = self._header(marks, literals, index)
            close = end.match(literals[index + 1])
            if not close:
                raise self._refusal(f"the end-of-turn token {self._end!r} is missing after message {index + 1}")
            closes[index] = close[0]
        return _Shape(tuple(literals), tuple(trims), headers, closes, asks)

    def _literals(self, marks: Sequence[Message], text: str) -> list[str]:
        """The text around the marks."""
        literals, done = [], 0
        for index, mark in enumerate(marks):
            count = text.count(mark.content)
            if count != 1:
                what = "drops" if count == 0 else "repeats"
                raise self._refusal(f"it {what} message {index + 1} ({mark.role}) of {_order(marks)}")
            place = text.index(mark.content)
            if place < done:
                raise self._refusal(f"it moves message {index + 1} ({mark.role}) of {_order(marks)} to another place")
            literals.append(text[done:place])
            done = place + len(mark.content)
        return [*literals, text[done:]]

    def _trims(self, marks: Sequence[Message], literals: Sequence[str]) -> list[tuple[bool, bool]]:
        padded = [Message(mark.role, LEAD + mark.content + TAIL) for mark in marks]
        around = self._literals(marks, self._render(padded))
        leading, trailing = [], [False]
        for index, (plain, wide) in enumerate(zip(literals, around, strict=True)):
            for before in (TAIL if index else "", ""):
                for after in (LEAD if index < len(marks) else "", ""):
                    if wide == before + plain + after:
                        break
                else:
                    continue
                break
            else:
                raise self._refusal(f"it rewrites blanks around message {min(index + 1, len(marks))} ({_order(marks)})")
            trailing.append(not before)
            leading.append(not after)
        return list(zip(leading[:-1], trailing[2:], strict=True))

    def _header(self, marks: Sequence[Message], literals: Sequence[str], index: int) -> tuple[str, str]:
        """What stands between the generation prompt and answer `index`: the model's part, the prompt's part."""
        prompt = self._render(marks[:index], True)
        text = "".join(literal + mark.content for literal, mark in zip(literals, marks[:index], strict=False))
        answer_at = len(text) + len(literals[index])
        text += literals[index]
        if not text.startswith(prompt) or len(prompt) < answer_at - len(literals[index]):
            raise self._refusal(
                f"the prompt that asks for message {index + 1} is not how the finished conversation begins "
                f"({_order(marks)})"
            )
        between = text[len(prompt) :]
        if not between.strip() or prompt != self._render(marks[:index]):
            return between, ""
        # The template knows no generation prompt: the header before the answer is the prompt's all the same.
        asked = between.rstrip(" ")
        return between[len(asked) :], asked

    def _check(self, spans: Sequence[Span], text: str, what: str) -> None:
        """Refuse unless the spans are the render."""
        done, message = 0, 0
        for span in spans:
            message += span.typed
            if not text.startswith(span.text, done):
                raise self._refusal(f"it changes the content of message {message} or the text after it ({what})")
            done += len(span.text)
        if done != len(text):
            raise self._refusal(f"it adds text after the last message ({what})")


def _before(shape: _Shape, messages: Sequence[Message]) -> list[Span]:
    """The spans up to the end of the last message and, after an answer, of its turn."""
    spans = []
    for index, message in enumerate(messages):
        left, right = shape.trims[index]
        content = message.content.lstrip() if left else message.content
        content = content.rstrip() if right else content
        weight, answer = loss_weight(message), message.role == "assistant"
        header = shape.headers.get(index, "")
        opening = shape.literals[index][len(_close(shape, index - 1)) :]
        spans += [
            Span(opening[: len(opening) - len(header)], 0.0, False),
            Span(header, weight, False, answer),
            Span(content, weight, True, answer),
            Span(_close(shape, index), end_weight(message), False, answer),
        ]
    return spans


def _close(shape: _Shape, index: int) -> str:
    return shape.closes.get(index, "")


def _order(messages: Sequence[Message]) -> str:
    return " ".join(message.role for message in messages) or "an empty conversation"
