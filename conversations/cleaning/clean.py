"""Cleaning: exported chats into conversations that alternate, turn by turn, with every change counted."""

import re
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import Literal

from camelid.files.ledger import Ledger
from camelid.message import Conversation, Message, ToolCall, join_messages
from conversations.cleaning.html import is_html, pages_to_markdown

# What a chat page shows around an answer, on a line of its own or against the answer's HTML: the branch
# counter, the copy counter that share buttons left, and button captions. Named in github.com/lm-sys/FastChat,
# fastchat/data/clean_sharegpt.py.
_CAPTION = (
    r"(?:(\d+) / (\d+)|(?:Copied|Copy) ?\d+ chars / \d+ words|Copy code|Regenerate response|"
    r"This content may violate our content policy\. If you believe this to be in error, please submit your feedback"
    r" — your input will aid our research in this area\.)"
)
_CAPTION_BEFORE = re.compile(rf"\s*{_CAPTION}[ \t]*(?:\n|\Z|(?=<(?:div|p|pre|ol|ul)\b))")
_CAPTION_AFTER = re.compile(rf"(?:\n|\A|(?<=</div>)|(?<=</p>))\s*{_CAPTION}\s*\Z")
_CAPTION_ENDS = (*"0123456789", " words", "Copy code", "Regenerate response", "research in this area.")
_LONGEST_CAPTION = 300  # characters, with white space around it
# Answers that are the page's own error messages and no words of the model.
_PAGE_ERROR = re.compile(
    r"!?network error|Load failed|Request timed out|"
    r"NetworkError when attempting to fetch resource\.|"
    r"Too many requests in 1 hour\. Try again later\.|"
    r"You've reached (?:our limit of messages per|the current usage cap for) .{1,60}[.!] .{1,60}|"
    r"Only one message at a time\. Please allow any other responses to complete before sending another message, "
    r"or wait one minute\.|"
    r"Our systems are a bit busy at the moment, please take a break and try again soon\.|"
    r"The server had an error while processing your request\. Sorry about that!|"
    r"There was an error generating a response|"
    r"Hmm\.\.\.something seems to have gone wrong\.(?: Maybe try me again in a little bit\.)?|"
    r"(?:An error occurred|Something went wrong)\. If this issue persists please contact us through our help center "
    r"at help\.openai\.com\.",
    re.IGNORECASE,
)
_LONGEST_ERROR = 300  # characters

_SYSTEM = "system message that is empty or not first"
_BAD_ANSWER = "exchange with an empty answer or a page error for one"


@dataclass(frozen=True)
class Clean:
    """The cleaning step.

    Only what the chat page produced is rewritten (the assistant's HTML, the page's captions); what a user
    typed stays as it is. A bad turn takes with it only what makes no sense without it.

    Attributes:
        html: convert answers that are rendered HTML to Markdown; None to do so with those of a chat page alone.
        captions: take the page's captions ("1 / 2", "Copied 12 chars / 3 words") and error messages out of answers;
            None as for `html`.
        in_a_row: what becomes of several turns of one role in a row: joined to one, or all but the last dropped.
        max_turn_chars: drop an exchange with a longer turn; None for no limit.
    """

    html: bool | None = None
    captions: bool | None = None
    in_a_row: Literal["join", "last"] = "join"
    max_turn_chars: int | None = None

    def __call__(self, conversation: Conversation, turns: Ledger, page: bool) -> Conversation | str:
        """Clean one conversation.

        Args:
            conversation: as a reader made it.
            turns: counts every turn as kept or dropped with its reason; those lost while reading are there already.
            page: whether its answers were copied from a chat page.

        Returns:
            A system message (if there was one) and at least one whole exchange, or why none is left.
        """
        html = page if self.html is None else self.html
        captions = page if self.captions is None else self.captions
        messages = _texts(conversation.messages, turns, html, captions)
        system = messages[:1] if messages and messages[0].role == "system" and messages[0].content.strip() else []
        rest = messages[len(system) :]
        body = [message for message in rest if message.role != "system"]
        _drop(turns, _SYSTEM, len(rest) - len(body))
        exchanges = self._exchanges(self._one_a_role(body, turns), turns)
        if not exchanges:
            _drop(turns, "system message of a conversation without an exchange", len(system))
            return "no exchange left" if turns.read else "no turns"
        turns.keep(len(system))
        return Conversation(conversation.id, (*system, *exchanges), conversation.meta, conversation.tools)

    def _one_a_role(self, messages: list[Message], turns: Ledger) -> list[tuple[Message, int]]:
        """One message for each run of one role, with the number of turns in it; repeats of a text count once."""
        joined = []
        for role, run in groupby(messages, key=lambda message: message.role):
            group = list(run)
            if len(group) == 1 or role == "tool":  # a result each
                joined += [(message, 1) for message in group]
                continue
            full = [message for message in group if _says(message)]
            if not full:
                joined.append((group[0], len(group)))
                continue
            texts: dict[tuple[str, tuple[ToolCall, ...]], Message] = {}
            for message in full:
                key = message.content, message.tool_calls
                same = texts.get(key)
                both = replace(join_messages((same, message), message.content), tool_calls=key[1]) if same else message
                texts[key] = both
            _drop(turns, "empty turn beside another of the same role", len(group) - len(full))
            _drop(turns, "repeated turn", len(full) - len(texts))
            kept = list(texts.values())
            if self.in_a_row == "last":
                _drop(turns, "turn before another of the same role", len(kept) - 1)
                kept = kept[-1:]
            if len(kept) > 1:
                turns.repair("turns of one role in a row joined")
            joined.append((_joined(kept, turns), len(kept)))
        return joined

    def _exchanges(self, messages: list[tuple[Message, int]], turns: Ledger) -> list[Message]:
        """Each question with its answer, and the tools used in between; what has no partner, or an empty one, goes."""
        kept: list[Message] = []
        starts = [index for index, (message, _) in enumerate(messages) if message.role == "user"]
        first = starts[0] if starts else len(messages)
        if first:
            _drop(turns, "assistant turn before any user turn", sum(count for _, count in messages[:first]))
        for start, end in pairwise([*starts, len(messages)]):
            exchange = messages[start:end]
            while exchange[-1][0].role == "tool":
                _drop(turns, "tool's turn without an answer to it", exchange.pop()[1])
            reason = self._fault([message for message, _ in exchange])
            count = sum(count for _, count in exchange)
            if reason:
                _drop(turns, reason, count)
            else:
                turns.keep(count)
                kept += [message for message, _ in exchange]
        return kept

    def _fault(self, exchange: list[Message]) -> str | None:
        """Why an exchange goes; None if it stays."""
        question, *answers = exchange
        longest = self.max_turn_chars
        if not answers:
            return "user turn without an answer"
        if not question.content.strip():
            return "exchange with an empty question"
        if not all(map(_says, (one for one in answers if one.role == "assistant"))):
            return _BAD_ANSWER
        if longest is not None and max(len(message.content) for message in exchange) > longest:
            return "exchange with an overlong turn"
        called = False
        for message in answers:
            if message.role == "tool" and not called:
                return "exchange with what a tool gave that nobody called"
            called = called if message.role == "tool" else bool(message.tool_calls)
        return None


def _says(message: Message) -> bool:
    """Whether there is anything in a turn."""
    return bool(message.content.strip() or message.tool_calls)


def _joined(messages: list[Message], turns: Ledger) -> Message:
    """Several turns of one role as one; where their speakers have names, each is said before what he says."""
    if len(messages) == 1:
        return messages[0]
    names = [message.meta.get("name") for message in messages]
    several = len(set(map(str, names))) > 1
    if several:
        turns.repair("names of speakers put before what they say", sum(name is not None for name in names))
    texts = [
        f"{name}: {message.content}" if several and name is not None else message.content
        for name, message in zip(names, messages, strict=True)
    ]
    return join_messages(messages, "\n\n".join(texts))


def _texts(messages: tuple[Message, ...], turns: Ledger, html: bool, captions: bool) -> list[Message]:
    """The messages with their texts cleaned."""
    texts = [_encodable(message.content, turns) for message in messages]
    answers = [index for index, message in enumerate(messages) if message.role == "assistant"]
    captioned = set()
    if captions:
        captioned = {index for index in answers if _without_captions(texts, index)}
    if html:
        pages = [index for index in answers if is_html(texts[index])]
        for index, text in zip(pages, pages_to_markdown([texts[index] for index in pages]), strict=True):
            texts[index] = text
            turns.repair("HTML to Markdown")
            if captions and _without_captions(texts, index):
                captioned.add(index)
    if captions:
        if captioned:
            turns.repair("page captions removed", len(captioned))
        for index in answers:
            if len(texts[index]) <= _LONGEST_ERROR and _PAGE_ERROR.fullmatch(texts[index].strip()):
                texts[index] = ""
    return [
        message if text is message.content else _with_text(message, text)
        for message, text in zip(messages, texts, strict=True)
    ]


def _with_text(message: Message, text: str) -> Message:
    """What `dataclasses.replace` does, in a quarter of the time."""
    return Message(
        message.role,
        text,
        message.weight,
        message.reasoning,
        message.truncated,
        message.meta,
        message.tool_calls,
        message.tool_call_id,
    )


def _encodable(text: str, turns: Ledger) -> str:
    """The text, with halves of surrogate pairs, which no UTF-8 file can hold, replaced."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        turns.repair("half a surrogate pair replaced")
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _without_captions(texts: list[str], index: int) -> bool:
    """Take the page's captions from around a text; return whether there were any."""
    text = texts[index]
    start, end = 0, len(text)
    while (before := _CAPTION_BEFORE.match(text, start, end)) and _is_caption(before):
        start = before.end()
    while (
        text[start:end].rstrip().endswith(_CAPTION_ENDS)
        and (after := _CAPTION_AFTER.search(text, max(start, end - _LONGEST_CAPTION), end))
        and _is_caption(after)
    ):
        end = after.start()
    if (start, end) == (0, len(text)):
        return False
    texts[index] = text[start:end].strip()
    return True


def _is_caption(match: re.Match[str]) -> bool:
    """`2 / 3` counts branches of a chat; `10 / 2` is arithmetic."""
    return match[1] is None or int(match[1]) <= int(match[2])


def _drop(turns: Ledger, reason: str, count: int) -> None:
    if count:
        turns.drop(reason, count)
