"""Writes the instruction to a given text: by its longest words, which the text then speaks of."""

import re
from random import Random

_TEXT = re.compile(r"\[Text\]\n(.*)\n\[End of text\]", re.DOTALL)
_BEGINNINGS = ("Write about", "Explain", "Describe", "Say something on", "Tell me of")
_WORDS = 5  # named; with fewer, instructions to different texts are too much alike


def write_instruction(prompt: str, random: Random) -> str | None:
    """Answer a prompt for back-translation.

    Args:
        prompt: has the text between `[Text]` and `[End of text]`.
        random: all choices come from here.

    Returns:
        An instruction that names the text's longest words and its length; None if this is no such prompt.
    """
    found = _TEXT.search(prompt)
    if not found or not found[1].strip():
        return None
    words = list(dict.fromkeys(re.findall(r"[^\W\d_]+", found[1]) or found[1].split()))
    longest = sorted(words, key=len, reverse=True)[:_WORDS]
    *others, last = (word for word in words if word in longest)
    named = f"{', '.join(others)} and {last}" if others else last
    return f"{random.choice(_BEGINNINGS)} {named} in about {len(found[1].split())} words."
