"""Any tokenizer's own Jinja chat template, with the loss mask derived from how it renders.

A chat template says how a conversation is written but not which part of it the model writes. That is found
by rendering conversations whose messages are marks that occur nowhere else:

- the text between the marks is the template's own, the marks' places are where content goes;
- the same with blanks around the marks shows which contents the template trims;
- the render of the messages before an answer, with `add_generation_prompt`, ends where the answer begins.

What was derived is then put together with the real contents and compared with the real render. A template
that does more than put contents into place (drops, moves or rewrites them) is refused with the reason, for
the conversation that shows it. No `{% generation %}` marks are needed.

All of that depends on who speaks when, not on what is said, so it is derived once for each order of turns. Chats with
tools or thinking, whose texts stand in many more places, are read one by one (`conversations/tokens/jinja_chat.py`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from jinja2 import TemplateError

from camelid.errors import UserError
from camelid.message import Conversation, Message, Role, Tool, ToolCall
from camelid.text.thinking import opened_thinking
from conversations.tokens.chat_record import Marker, TemplateDialect, chat_record, mark_leaves, unmarked
from conversations.tokens.jinja_chat import JinjaChat
from conversations.tokens.jinja_date import fix_dates
from conversations.tokens.respell import control_tokens
from conversations.tokens.span import Span, end_weight, loss_weight

MARK = "\ue010{}\ue011"  # private-use characters: in no template, and no blank for Jinja's trim
REASONING = ("reasoning_content", "reasoning", "thinking")  # Qwen3 and most others; a few; gpt-oss
_PLAIN = TemplateDialect()
LEAD, TAIL = " \n", "\n \n"  # blanks put around a mark; their lengths tell them apart
_CALL = ToolCall("look", '{"at": "it"}', "call00001")
_TOOL: Tool = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "Looks.",
        "parameters": {"type": "object", "properties": {"at": {"type": "string", "description": "What."}}},
    },
}


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

    def is_beginning_of(self, whole: "_Shape", answer: int) -> bool:
        """Whether all up to the end of an answer, the last here, is written as in a longer conversation."""
        return (
            self.literals[: answer + 1] == whole.literals[: answer + 1]
            and self.headers[answer] == whole.headers[answer]
            and self.closes[answer] == whole.closes.get(answer)
        )


class JinjaTemplate:
    """A tokenizer's chat template as a `ChatFormat`.

    Args:
        tokenizer: a Hugging Face tokenizer with a chat template.

    Attributes:
        jinja: the template, with a fixed date in place of the clock's.
        date: that date; None if the template writes none.

    Raises:
        UserError: it has none, it writes a date whose form is not known, or no end-of-turn token follows an answer.
    """

    bos: Literal["tokenizer", "text", "none"] = "text"  # transformers renders the BOS token as text, too
    control: tuple[str, ...] = ()  # its special tokens are the tokenizer's own

    def __init__(self, tokenizer: Any) -> None:
        self.name = f"chat template of {tokenizer.name_or_path or 'the tokenizer'}"
        if not tokenizer.chat_template:
            raise UserError(f"{tokenizer.name_or_path}: the tokenizer has no chat template; name one with --template")
        self._tokenizer = tokenizer
        self.jinja, self.date = fix_dates(tokenizer.get_chat_template(), self.name)
        self._shapes: dict[tuple[Role, ...], _Shape] = {}
        tokens = [token for token in control_tokens(tokenizer.backend_tokenizer) if token]
        self._special = re.compile("|".join(map(re.escape, sorted(tokens, key=len, reverse=True))) or "(?!)")
        self._end = self._end_of_turn()

    @property
    def fingerprint(self) -> str:
        return self.jinja

    @property
    def stop(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self._end, self._end_of_call)))

    def spans(self, conversation: Conversation) -> list[Span]:
        """See `ChatFormat.spans`."""
        messages = conversation.messages
        if self._is_rich(messages, conversation.tools):
            return self._chat.spans(conversation)
        roles = tuple(message.role for message in messages)
        shape = self._shape(roles)
        spans = _before(shape, messages, self._standing(roles))
        spans.append(Span(shape.literals[-1][len(_close(shape, len(messages) - 1)) :], 0.0, False))
        self._check(spans, self._render(messages), f"conversation {conversation.id!r}")
        return [span for span in spans if span.text]

    def prompt(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> list[Span]:
        """See `ChatFormat.prompt`."""
        if self._is_rich(messages, tools):
            return self._chat.prompt(messages, tools)
        index = len(messages)
        roles: tuple[Role, ...] = (*(message.role for message in messages), "assistant")
        shape = self._shape(roles)
        closed = len(_close(shape, index - 1))
        opening = shape.literals[index][closed : len(shape.literals[index]) - len(shape.headers[index])]
        spans = [*_before(shape, messages, self._standing(roles)), Span(opening, 0.0, False)]
        self._check(spans, self._render(messages, ask=True) + shape.asks[index], "the prompt")
        return [span for span in spans if span.text]

    def standing(self, conversation: Conversation) -> frozenset[int]:
        """See `ChatFormat.standing`."""
        if self._is_rich(conversation.messages, conversation.tools):
            return self._chat.standing(conversation)
        return self._standing(tuple(message.role for message in conversation.messages))

    def _is_rich(self, messages: Sequence[Message], tools: Sequence[Tool]) -> bool:
        """Whether there is more to write than texts of user, assistant and system."""
        rich = any(one.reasoning or one.tool_calls or one.role == "tool" for one in messages)
        return rich or bool(tools) or bool(self._opens)

    def _standing(self, roles: tuple[Role, ...]) -> frozenset[int]:
        """The answers that are written no other way when more is said after them."""
        shape, answers = self._shape(roles), [index for index, role in enumerate(roles) if role == "assistant"]
        return frozenset(index for index in answers if self._shape(roles[: index + 1]).is_beginning_of(shape, index))

    def _render(
        self, messages: Sequence[Message], tools: Sequence[Tool] = (), ask: bool = False, mark: Marker = unmarked
    ) -> str:
        return self._written(messages, tools, ask, mark, self._dialect)

    def _written(
        self, messages: Sequence[Message], tools: Sequence[Tool], ask: bool, mark: Marker, dialect: TemplateDialect
    ) -> str:
        def mark_control(text: str) -> str:  # templates decide by what schemas say, so only what must be is marked
            return mark(text, -1, False) if self._special.search(text) else text

        try:
            text: str = self._tokenizer.apply_chat_template(
                chat_record(messages, dialect, mark),
                tools=[mark_leaves(tool, mark_control) for tool in tools] or None,
                chat_template=self.jinja,
                tokenize=False,
                add_generation_prompt=ask,
            )
        except (TemplateError, TypeError, ValueError, LookupError) as error:
            raise self._refusal(f"it cannot write {_order(messages)}: {str(error) or type(error).__name__}") from None
        return text

    def _refusal(self, reason: str) -> UserError:
        return UserError(f"{self.name}: {' '.join(reason.split())}; choose one of Camelid's own templates")

    def _end_of_turn(self) -> str:
        """The special token after an answer."""
        answer = MARK.format(0)
        text = self._written([Message("user", "Hi"), Message("assistant", answer)], (), False, unmarked, _PLAIN)
        found = re.search(rf"{answer}\s*({self._special.pattern})", text)
        if not found or not found[1]:
            raise self._refusal("no end-of-turn token follows an answer, so a model trained with it would never stop")
        return found[1]

    @cached_property
    def _end_of_call(self) -> str:
        """The special token that ends a turn in which a tool is called; where none is written, that of any answer."""
        argument = MARK.format(0)
        call = Message("assistant", "", tool_calls=(ToolCall("look", f'{{"at": "{argument}"}}'),))
        try:
            text = self._render([Message("user", "Hi"), call], [_TOOL])
        except UserError:
            return self._end
        after = text.partition(argument)[2]
        ends = [self._end] if self._end in after else self._special.findall(after)
        return ends[-1] if ends else self._end

    @cached_property
    def _opens(self) -> str:
        """The tag with which the prompt begins the thinking for the model; nothing where it doesn't."""
        return opened_thinking(self._written([Message("user", "Hi")], (), True, unmarked, _PLAIN))

    @cached_property
    def _dialect(self) -> TemplateDialect:
        """What the template wants to be given, by trial."""
        asked, said, thought = Message("user", "Hi"), MARK.format(0), MARK.format(1)
        answer = Message("assistant", said, reasoning=thought)

        def writes(text: str, message: Message, dialect: TemplateDialect) -> bool:
            try:
                return self._written([asked, message], (), False, unmarked, dialect).count(text) == 1
            except UserError:
                return False

        fields = (name for name in REASONING if writes(thought, answer, TemplateDialect(reasoning=name)))
        reasoning = next(fields, None)
        inline = reasoning is None and writes(thought, answer, TemplateDialect(inline=True))
        call = Message("assistant", "", tool_calls=(ToolCall(said, "{}", "call_number_one"),))
        short = not writes(said, call, _PLAIN) and writes(said, call, TemplateDialect(short_ids=True))
        return TemplateDialect(reasoning, inline, short)

    @cached_property
    def _chat(self) -> JinjaChat:
        asked = [Message("user", "Hi")]
        asks = ""
        if not self._opens and self._render(asked) == self._render(asked, ask=True):
            asks = self._shape(("user", "assistant")).asks[1]

        def render(messages: Sequence[Message], tools: Sequence[Tool], ask: bool, mark: Marker) -> str:
            return self._render(messages, tools, ask, mark) + (asks if ask else "")

        return JinjaChat(render, self._refusal, self.stop, self._special)

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
            if close:
                closes[index] = close[0]
            elif index == len(roles) - 1:
                raise self._refusal(f"the end-of-turn token {self._end!r} is missing after message {index + 1}")
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
        prompt = self._render(marks[:index], ask=True)
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


def _before(shape: _Shape, messages: Sequence[Message], standing: frozenset[int]) -> list[Span]:
    """The spans up to the end of the last message and, after an answer, of its turn."""
    spans = []
    for index, message in enumerate(messages):
        left, right = shape.trims[index]
        content = message.content.lstrip() if left else message.content
        content = content.rstrip() if right else content
        answer = index in standing
        weight, end = (loss_weight(message), end_weight(message)) if answer else (0.0, 0.0)
        header = shape.headers.get(index, "")
        opening = shape.literals[index][len(_close(shape, index - 1)) :]
        spans += [
            Span(opening[: len(opening) - len(header)], 0.0, False),
            Span(header, weight, False, answer),
            Span(content, weight, True, answer),
            Span(_close(shape, index), end, False, answer),
        ]
    return spans


def _close(shape: _Shape, index: int) -> str:
    return shape.closes.get(index, "")


def _order(messages: Sequence[Message]) -> str:
    return " ".join(message.role for message in messages) or "an empty conversation"
