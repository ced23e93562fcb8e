"""Words for ROUGE-L: rouge_score's own, and a superset of them for every script."""

import re
import unicodedata
from collections.abc import Callable

WordSplitter = Callable[[str], list[str]]

# Scripts written without spaces between words: Thai, Lao, Tibetan; Myanmar; Khmer; Japanese kana; Chinese
# characters (Unicode Standard, chapters 16 to 18). In them each letter counts as a word.
SPACELESS = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)


def rouge_tokens(text: str) -> list[str]:
    """rouge_score's tokens without stemming (rouge_scorer.tokenize): runs of a-z and 0-9, lower case.

    Whatever is not ASCII separates words and is lost: a Chinese text has no tokens at all.
    """
    return re.sub(r"[^a-z0-9]+", " ", text.lower()).split()


def unicode_tokens(text: str) -> list[str]:
    """`rouge_tokens` for ASCII text; elsewhere letters, marks and digits of every script make words.

    Compatibility forms are unified (NFKC: full-width letters equal plain ones).
    """
    if text.isascii():
        return rouge_tokens(text)
    spaced = []
    for character in unicodedata.normalize("NFKC", text).lower():
        kind = unicodedata.category(character)[0]
        if kind == "L" and SPACELESS.match(character):
            spaced.append(f" {character}")
        else:
            spaced.append(character if kind in "LMN" else " ")
    return "".join(spaced).split()
