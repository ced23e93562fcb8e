"""Scores of a conversation by itself: length, repetition, language, and the baseline of all, chance."""

from camelid.message import Conversation
from camelid.text.language import guess_conversation
from camelid.text.words import count_words, unicode_tokens
from conversations.cleaning.sampling import random_place
from conversations.scores.score import ConversationScore

GRAM = 5  # words; the shortest of Gopher's duplicate n-grams (Rae et al. 2021, table A1)


def _words(conversation: Conversation, seed: int) -> float:
    return sum(count_words(message.content) for message in conversation.messages if message.role == "assistant")


def _repetition(conversation: Conversation, seed: int) -> float:
    return max((repeated_share(one.content) for one in conversation.messages if one.role == "assistant"), default=0.0)


def repeated_share(text: str) -> float:
    """The share of a text's runs of five words that it has had before; 0 for a text of fewer words."""
    words = unicode_tokens(text)
    runs = [tuple(words[at : at + GRAM]) for at in range(len(words) - GRAM + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


def _language(conversation: Conversation, seed: int) -> float:
    return guess_conversation(conversation)[1]


def _random(conversation: Conversation, seed: int) -> float:
    return random_place(conversation, f"score {seed}")


LENGTH = ConversationScore("length", "words of the answers", "conversation", of=_words)
REPETITION = ConversationScore(
    "repetition",
    "of the answer that repeats itself most, the share of its runs of five words that it had before",
    "conversation",
    "low",
    _repetition,
)
LANGUAGE = ConversationScore("language", "how sure fastText is of the language (0 to 1)", "conversation", of=_language)
RANDOM = ConversationScore(
    "random", "drawn by id and --seed (0 to 1): a baseline for --top", "conversation", of=_random
)
