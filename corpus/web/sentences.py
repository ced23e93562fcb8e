"""How many sentences a line has, as C4's rules count them.

C4 splits with NLTK's Punkt (Kiss and Strunk 2006). This is Punkt without a trained model: a sentence ends at `.`, `!`
or `?` before white space or a bracket, unless that is an initial (`J.`), a number before a small letter or dots in a
row; and at the commonest English abbreviations it does not.
"""

import re

# Where Punkt looks: an end mark with more of a word, white space or a bracket behind it (PunktLanguageVars).
_END = re.compile(r"(\S*)([.?!])(?=(?:[?!)\";}\]*:@'({\[]|\s+(\S+)))")
_DOTS = re.compile(r"\.{2,}$")
_NUMBER = re.compile(r"-?[.,]?\d[\d,.-]*\.?")
_CLOSING = "\"')]}?!"
# Commonest of those in the English model of Punkt that end in a dot inside of sentences.
ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof st vs jr sr inc ltd co corp gen sen rep gov lt col sgt capt maj adm rev hon jan feb mar apr "
    "jun jul aug sep sept oct nov dec u.s u.k a.m p.m e.g i.e etc d.c n.y ph.d calif mass fla ill ave blvd no vol pp "
    "fig dept".split()
)


def count_sentences(line: str) -> int:
    """Sentences in a line; 0 if it is blank."""
    if not line.strip():
        return 0
    count = 1
    for found in _END.finditer(line):
        before, mark, after = found[1], found[2], found[3]
        rest = line[found.end() :]
        if not rest.strip(_CLOSING + " \t"):
            continue  # the last one
        if mark == "." and not _ends_sentence(before, after):
            continue
        if rest[:1] and not rest[:1].isspace() and not _behind_closing(rest):
            continue
        count += 1
    return count


def _behind_closing(rest: str) -> bool:
    """Whether brackets and quotation marks that close, and a blank, follow."""
    inner = rest.lstrip(_CLOSING)
    return inner[:1].isspace() or inner[:1] in "([{"


def _ends_sentence(before: str, after: str | None) -> bool:
    word = before.lstrip("\"'([{")
    if _DOTS.search(word + "."):
        return False
    if word.lower() in ABBREVIATIONS:
        return False
    if len(word) == 1 and word.isalpha():
        return not (after or "x").lstrip(_CLOSING)[:1].isalpha()
    return not (_NUMBER.fullmatch(word + ".") and after is not None and after[:1].islower())
