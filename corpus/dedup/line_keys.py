"""What makes two lines the same: CCNet's rule, and C4's.

CCNet's key is the first 8 bytes of the SHA-1 of a line that was stripped, in small letters, digits as 0, without
punctuation and control characters (cc_net/dedup.py, `compute_hashes`; text_normalizer.py, `normalize_for_dedup`). C4's
is the MD5 of the stripped line in small letters (tensorflow_datasets/text/c4_utils.py, `_emit_url_to_lines`).
"""

import hashlib
import unicodedata

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint64]

# Those that cc_net removes; with the full-width 1, which it takes for a quotation mark. ASCII's own are not among them.
_PUNCTUATION = "，。、„”“«»１」「《》´∶：？！（）；–—．～’…━〈〉【】％►"  # noqa: RUF001
_CONTROL = "".join(map(chr, [*range(32), *range(127, 160)]))
_GONE = dict.fromkeys(map(ord, _PUNCTUATION + _CONTROL))
_ASCII_GONE = bytes([*range(32), 127])
_ASCII_FOLDED = bytes(ord("0") if 48 <= code <= 57 else code + 32 if 65 <= code <= 90 else code for code in range(256))
_WHITE = " \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f"


class _Folded(dict[int, str | None]):
    """What stands for each character of a line in small letters; filled as characters come up."""

    def __missing__(self, code: int) -> str | None:
        character = chr(code)
        digit = unicodedata.category(character) == "Nd"  # cc_net makes digits 0 before it removes anything
        folded = None if code in _GONE and not digit else "0" if digit else character
        self[code] = folded
        return folded


_FOLDED = _Folded()


def ccnet_keys(text: str) -> Keys:
    """The key of each line of a text."""
    if text.isascii():
        lines = text.encode().split(b"\n")
        strip, gone, folded = _WHITE.encode(), _ASCII_GONE, _ASCII_FOLDED
        data = [hashlib.sha1(line.strip(strip).translate(folded, gone)).digest()[:8] for line in lines]
    else:
        data = [
            hashlib.sha1(line.strip().lower().translate(_FOLDED).encode("utf-8", "surrogatepass")).digest()[:8]
            for line in text.split("\n")
        ]
    return np.frombuffer(b"".join(data), dtype="<u8")


def c4_keys(text: str) -> Keys:
    """The key of each line of a text: the first 8 bytes of C4's."""
    lines = text.split("\n")
    data = [hashlib.md5(line.strip().lower().encode("utf-8", "surrogatepass")).digest()[:8] for line in lines]
    return np.frombuffer(b"".join(data), dtype="<u8")


def text_key(text: str) -> Keys:
    """One key for a whole text, blanks at its ends aside."""
    return np.frombuffer(hashlib.sha1(text.strip().encode("utf-8", "surrogatepass")).digest()[:8], dtype="<u8")
