"""Cleaning: exported chats into conversations that alternate, turn by turn, with every change counted."""

import re
from dataclasses import replace
from itertools import groupby

from camelid.ledger import Ledger
from conversations.html import is_html, to_markdown
from conversations.message import Conversation, Message

# What a chat page shows around an answer, on a line of its own or against the answer's HTML: the branch
# counter, the copy counter that share buttons left, and button captions. Named in github.com/lm-sys/FastChat,
# fastchat/data/clean_sharegpt.py.
_CAPTION = r"(?:\d+ / \d+|Copied? ?\d+ chars / \d+ words|Copy code|Regenerate response)"
_CAPTIONS_AROUND = re.compile(
    rf"\A(?:\s*{_CAPTION}[ \t]*(?:\n|\Z|(?=<(?:div|p|pre|ol|ul)\b)))+"
    rf"|(?:(?:\n|\A|(?<=</div>)|(?<=</p>))\s*{_CAPTION}\s*)+\Z"
)
# Answers that are the page's own error messages and no words of the model.
_PAGE_ERROR = re.compile(
    r"(?:Too many requests in 1 hour\. Try again later\.|!?network error|"
    r"An error occurred\. If this issue persists please contact us through our help center at help\.openai\.com\.)",
    re.IGNORECASE,
)


def clean(conversation: Conversation, turns: Ledger) -> Conversation | None:
    """Clean one conversation.

    Only what the chat page produced is rewritten (the assistant's HTML, the page's captions); what a user
    typed stays as it is. A bad turn takes with it only what makes no sense without it.

    Args:
        conversation: as a reader made it.
        turns: counts every turn as kept or dropped with its reason.

    Returns:
        A system message (if there was one) and at least one whole exchange, or None if no exchange is left.
    """
    messages = [_clean_text(message, turns) for message in conversation.messages]
    system = messages[:1] if messages[0].role == "system" and messages[0].content.strip() else []
    rest = messages[len(system) :]
    body = [message for message in rest if message.role != "system"]
    _drop(turns, "system message that is empty or not first", len(rest) - len(body))
    exchanges = _exchanges(_joined(body, turns), turns)
    if not exchanges:
        _drop(turns, "system message of a conversation without an exchange", len(system))
        return None
    turns.keep(len(system))
    return replace(conversation, messages=(*system, *exchanges))


def _clean_text(message: Message, turns: Ledger) -> Message:
    if message.role != "assistant":
        return message
    text, captions = _without_captions(message.content)
    if is_html(text):
        text, more = _without_captions(to_markdown(text))
        captions |= more
        turns.repair("HTML to Markdown")
    if captions:
        turns.repair("page captions removed")
    return replace(message, content="" if _PAGE_ERROR.fullmatch(text.strip()) else text)


def _without_captions(text: str) -> tuple[str, bool]:
    """The text without the page's captions around it, and whether there were any."""
    bare = _CAPTIONS_AROUND.sub("", text)
    return (text, False) if bare == text else (bare.strip(), True)


def _joined(messages: list[Message], turns: Ledger) -> list[tuple[Message, int]]:
    """One message for each run of one role, with the number of turns in it; repeats of a text count once."""
    joined = []
    for _, run in groupby(messages, key=lambda message: message.role):
        group = list(run)
        texts = list(dict.fromkeys(message.content for message in group if message.content.strip()))
        if not texts:
            joined.append((group[0], len(group)))
            continue
        empty = sum(not message.content.strip() for message in group)
        _drop(turns, "empty turn beside another of the same role", empty)
        _drop(turns, "repeated turn", len(group) - empty - len(texts))
        if len(texts) > 1:
            turns.repair("turns of one role in a row joined")
        joined.append((replace(group[0], content="\n\n".join(texts)), len(texts)))
    return joined


def _exchanges(messages: list[tuple[Message, int]], turns: Ledger) -> list[Message]:
    """Question and answer in pairs; what has no partner, or an empty one, is dropped."""
    kept: list[Message] = []
    if messages and messages[0][0].role == "assistant":
        _drop(turns, "assistant turn before any user turn", messages[0][1])
        messages = messages[1:]
    for index in range(0, len(messages), 2):
        question, asked = messages[index]
        if index + 1 == len(messages):
            _drop(turns, "user turn without an answer", asked)
            continue
        answer, answered = messages[index + 1]
        if not question.content.strip():
            _drop(turns, "exchange with an empty question", asked + answered)
        elif not answer.content.strip():
            _drop(turns, "exchange with an empty answer or a page error for one", asked + answered)
        else:
            turns.keep(asked + answered)
            kept += [question, answer]
    return kept


def _drop(turns: Ledger, reason: str, count: int) -> None:
    if count:
        turns.drop(reason, count)
