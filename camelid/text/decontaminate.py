"""Keeps evaluation questions out of training data."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from camelid.files.ledger import Ledger
from camelid.message import Conversation
from camelid.text.words import WORD, unicode_tokens, word_size

_BEGIN = 3  # words by which a place is found where a stretch may begin
NGRAM = 12  # words in a row, a common choice for web-scale data (13 in Brown et al. 2020, GPT-3, appendix C)


class Decontaminator:
    """Finds training text that contains a question, or a long stretch of one.

    A question of fewer than `NGRAM` words matches only as a whole; a longer one matches where any
    `NGRAM` of its words appear in a row. Case, punctuation and white space don't count. Where a script writes no
    spaces, `word_size` says how many letters make a word.
    """

    def __init__(self, questions: Iterable[str]) -> None:
        self._stretches: dict[tuple[str, ...], list[str]] = {}
        whole: set[int] = set()
        for question in questions:
            words = unicode_tokens(question)
            stretches = list(_stretches(words))
            if words and not stretches:
                stretches = [tuple(words)]
                whole.add(len(words))
            for stretch in stretches:
                self._stretches.setdefault(stretch, []).append(question)
        self._sizes = sorted(whole)  # of the questions that match only as a whole
        self._begins = {stretch[:_BEGIN] for stretch in self._stretches if len(stretch) >= _BEGIN}

    def match(self, text: str) -> str | None:
        """Return the question that `text` contains a stretch of, or None."""
        return next(self._matches(text), None)

    def matches(self, text: str) -> set[str]:
        """All questions that `text` contains a stretch of."""
        return set(self._matches(text))

    def _matches(self, text: str) -> Iterator[str]:
        words = unicode_tokens(text)
        runs = zip(words, words[1:], words[2:], strict=False)
        starts = [start for start, run in enumerate(runs) if run in self._begins]
        for size in self._sizes:
            for start in starts if size >= _BEGIN else range(len(words) - size + 1):
                yield from self._stretches.get(tuple(words[start : start + size]), ())
        for start in starts:
            yield from self._stretches.get(_stretch(words, start), ())


def _stretches(words: list[str]) -> Iterator[tuple[str, ...]]:
    """From each word on, as few of them as make `NGRAM` words; so equal texts have equal stretches."""
    for start in range(len(words)):
        stretch = _stretch(words, start)
        if not stretch:
            return
        yield stretch


def _stretch(words: list[str], start: int) -> tuple[str, ...]:
    """From a word on, as few as make `NGRAM` words; empty if there are not so many."""
    long = 0
    for end in range(start, len(words)):
        long += word_size(words[end])
        if long >= NGRAM * WORD:
            return tuple(words[start : end + 1])
    return ()


@dataclass(frozen=True)
class KeepOutQuestions:
    """The decontamination step: a user turn that contains a question drops the conversation."""

    questions: Decontaminator

    def __call__(self, conversation: Conversation, turns: Ledger) -> Conversation | str:
        if any(message.role == "user" and self.questions.match(message.content) for message in conversation.messages):
            return "contains an evaluation question"
        return conversation
