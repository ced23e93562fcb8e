"""What makes two lines the same: CCNet's rule, and C4's.

CCNet's key is the first 8 bytes of the SHA-1 of a line that was stripped, in small letters, digits as 0, without
punctuation and control characters (cc_net/dedup.py, `compute_hashes`; text_normalizer.py, `normalize_for_dedup`). C4's
is the MD5 of the stripped line in small letters (tensorflow_datasets/text/c4_utils.py, `_emit_url_to_lines`).
"""

import re
from hashlib import md5, sha1

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint64]

# Those that cc_net removes; with the full-width 1, which it takes for a quotation mark. ASCII's own are not among them.
_PUNCTUATION = "，。、„”“«»１」「《》´∶：？！（）；–—．～’…━〈〉【】％►"  # noqa: RUF001
_RARE = re.compile(f"[{_PUNCTUATION}{chr(127)}-{chr(159)}]|[^\\D0-9]")  # these, and digits of other scripts
_ZEROS = bytes.maketrans(b"123456789", b"0" * 9)
_CONTROL = bytes(code for code in range(32) if chr(code) != "\n") + b"\x7f"


def ccnet_keys(text: str) -> Keys:
    """The key of each line of a text; whatever can be is done to all lines at once."""
    lines = [line.strip().lower() for line in text.split("\n")]
    folded = "\n".join([line if line.isascii() else _RARE.sub(_fold_rare, line) for line in lines])
    data = folded.encode("utf-8", "surrogatepass").translate(_ZEROS, _CONTROL)
    return np.frombuffer(b"".join([sha1(line).digest()[:8] for line in data.split(b"\n")]), dtype="<u8")


def _fold_rare(found: re.Match[str]) -> str:
    """cc_net makes digits 0 before it removes anything: so the full-width 1 of its list stays, as 0."""
    return "0" if found[0].isdecimal() else ""


def c4_keys(text: str) -> Keys:
    """The key of each line of a text: the first 8 bytes of C4's."""
    lines = text.split("\n")
    data = [md5(line.strip().lower().encode("utf-8", "surrogatepass")).digest()[:8] for line in lines]
    return np.frombuffer(b"".join(data), dtype="<u8")


def text_key(text: str) -> Keys:
    """One key for a whole text, blanks at its ends aside."""
    return np.frombuffer(sha1(text.strip().encode("utf-8", "surrogatepass")).digest()[:8], dtype="<u8")
