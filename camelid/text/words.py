"""Words of every script, for all that compares or counts texts by words; and rouge_score's own."""

import re
import unicodedata
from collections.abc import Callable

WordSplitter = Callable[[str], list[str]]

# Scripts written without spaces between words, in which each letter counts as a word (Unicode Standard, chapters 16 to
# 18). Letters: Thai, Lao, Tibetan; Myanmar; Khmer; New Tai Lue, Tai Tham and their like, Balinese, Javanese, Tai Viet.
_LETTERS = "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\u1b00-\u1b7f\ua980-\ua9ff\uaa60-\uaadf"
# Characters: Chinese, Japanese kana, Bopomofo, and the marks of repetition among them.
_CHARACTERS = (
    "\u3005-\u3007\u3031-\u3035\u3040-\u30ff\u3100-\u312f\u3400-\u9fff\uf900-\ufaff\U0001b000-\U0001b16f"
    "\U00020000-\U0003ffff"
)
SPACELESS = re.compile(f"[{_LETTERS}{_CHARACTERS}]")
_IS_CHARACTER = re.compile(f"[{_CHARACTERS}]")
_AFTER_LETTER = re.compile(rf"(?<={SPACELESS.pattern})(?<!\d)(?=\w)")  # where a word of another script begins


def rouge_tokens(text: str) -> list[str]:
    """rouge_score's tokens without stemming (rouge_scorer.tokenize): runs of a-z and 0-9, lower case.

    Whatever is not ASCII separates words and is lost: a Chinese text has no tokens at all.
    """
    return re.sub(r"[^a-z0-9]+", " ", text.lower()).split()


def fold_text(text: str) -> str:
    """The text in lower case and with compatibility forms unified (NFKC: full-width letters equal plain ones)."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).lower()


def unicode_tokens(text: str) -> list[str]:
    """`rouge_tokens` for ASCII text; elsewhere letters, marks and digits of every script make words.

    The text is folded first. A letter of a script that writes no spaces is a word by itself, with its marks.
    """
    if text.isascii():
        return rouge_tokens(text)
    spaced = fold_text(text).translate(_SPACED)
    return _AFTER_LETTER.sub(" ", spaced).split()


_CASELESS = {"Lo", "Lm", "Nl"}  # letters of scripts without case; the last for the Chinese zero


WORD = 6  # what `word_size` gives a whole word: its letters' sizes are whole numbers then


def word_size(token: str) -> int:
    """How much of a word a token of `unicode_tokens` is, in parts of `WORD`.

    Words of Chinese and Japanese take about three characters for two, those of Thai, Lao, Khmer and Burmese about three
    letters each (vowel signs and tone marks not counted).
    """
    if token.isascii() or not SPACELESS.match(token):
        return WORD
    return 4 if _IS_CHARACTER.match(token) else 2


class _Spaced(dict[int, str]):
    """What to put for each character, so that spaces separate the words; filled as characters come up."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        category = unicodedata.category(character)
        if category in _CASELESS and SPACELESS.match(character):
            spaced = f" {character}"
        else:
            spaced = character if category[0] in "LMN" else " "
        self[code] = spaced
        return spaced


_SPACED = _Spaced()
