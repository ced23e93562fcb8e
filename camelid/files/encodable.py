"""Text from outside made encodable: JSON can name half of a surrogate pair (`"\\ud83d"`), which no file can hold."""

import logging
import re
from typing import Any

logger = logging.getLogger(__name__)

REPLACEMENT = "\ufffd"  # what Unicode puts in the place of what cannot be represented (The Unicode Standard, 23.8)
_HALF = re.compile("[\ud800-\udfff]")
_NAMED_HALF = (
    re.compile(  # in JSON's text: a first half without the second behind it, a second without the first before
        r"\\ud[89ab]..(?!\\ud[c-f])|(?<!\\ud[89ab]..)\\ud[c-f]", re.IGNORECASE
    )
)


def mend_text(text: str) -> tuple[str, int]:
    """The text with `REPLACEMENT` for each lone surrogate, and how many there were. Two that belong together join."""
    if not _HALF.search(text):
        return text, 0
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return whole, whole.count(REPLACEMENT) - text.count(REPLACEMENT)


def mend_json(value: Any) -> tuple[Any, int]:
    """A parsed JSON value with every string in it mended, names of fields too, and how many characters that took."""
    if isinstance(value, str):
        return mend_text(value)
    if isinstance(value, list):
        items = [mend_json(item) for item in value]
        return [item for item, _ in items], sum(count for _, count in items)
    if isinstance(value, dict):
        pairs = [(mend_text(name), mend_json(item)) for name, item in value.items()]
        mended = {name: item for (name, _), (item, _) in pairs}
        return mended, sum(names + items for (_, names), (_, items) in pairs)
    return value, 0


def mend_parsed(value: Any, text: str, place: str) -> Any:
    """What `text` was parsed to, mended; says how many characters that took, and where."""
    if not (("\\ud" in text or "\\uD" in text) and _NAMED_HALF.search(text)):  # nearly all text there is
        return value
    mended, count = mend_json(value)
    if count:
        logger.warning("camelid: %s: broken characters (halves of surrogate pairs) replaced: %d", place, count)
    return mended
