"""Infilling: the ids of a text with a hole, its sentinels set on ids, so that typed ones stay text.

Bavarian et al. 2022 (Efficient Training of Language Models to Fill in the Middle): prefix, suffix, middle (PSM), or
suffix first, then prefix and middle as one text (SPM, their variant 2), each part behind a token of its own.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from camelid.errors import UserError
from conversations.tokens.plain_text import TextEncoder


@dataclass(frozen=True)
class InfillTokens:
    """The control tokens that a family of models fills in with.

    Attributes:
        models: whose they are.
        prefix, suffix, middle: what stands before each part.
        end: what ends a middle.
    """

    models: str
    prefix: str
    suffix: str
    middle: str
    end: str

    @property
    def all(self) -> tuple[str, str, str, str]:
        return self.prefix, self.suffix, self.middle, self.end


# Of two whose tokens a tokenizer has, the first is meant.
INFILL_TOKENS = (
    # Roziere et al. 2023, section 2.3; github.com/meta-llama/codellama, llama/tokenizer.py.
    InfillTokens("Code Llama", "▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>"),
    # Li et al. 2023 (StarCoder), section 5.1; StarCoder2 has the same.
    InfillTokens("StarCoder", "<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<|endoftext|>"),
    # Hui et al. 2024 (Qwen2.5-Coder), table 1 and section 3.2.1.
    InfillTokens("Qwen2.5-Coder", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|endoftext|>"),
    # Guo et al. 2024 (DeepSeek-Coder), section 3.1.2; its hole stands where the suffix begins.
    InfillTokens("DeepSeek-Coder", "<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>", "<｜end▁of▁sentence｜>"),  # noqa: RUF001
)


class CutText(NamedTuple):
    """A text in three parts, of which the middle is to be filled in."""

    prefix: str
    middle: str
    suffix: str


class InfillEncoder:
    """A tokenizer that has infilling tokens.

    Args:
        tokenizer: a Hugging Face fast tokenizer.

    Attributes:
        tokens: which ones they are.
        text: encodes the parts.
        prefix_id, suffix_id, middle_id, end_id: of those tokens.

    Raises:
        UserError: it has none.
    """

    def __init__(self, tokenizer: Any) -> None:
        known = tokenizer.get_vocab()
        self.tokens = _find_tokens(known, tokenizer.name_or_path)
        self.text = TextEncoder(tokenizer, control=self.tokens.all)
        self.prefix_id, self.suffix_id, self.middle_id, self.end_id = (known[token] for token in self.tokens.all)

    @property
    def sentinels(self) -> frozenset[int]:
        """Ids that whoever asks puts between the parts; no model writes them."""
        return frozenset((self.prefix_id, self.suffix_id, self.middle_id))

    def prompt(self, prefix: str, suffix: str, suffix_first: bool = False) -> list[int]:
        """Ids up to where the middle begins; by default what PSM trains."""
        suffix_ids, prefix_ids = self.text.encode_inner(suffix), self.text.encode(prefix)
        if suffix_first:
            return [*self.text.start, self.prefix_id, self.suffix_id, *suffix_ids, self.middle_id, *prefix_ids]
        return [*self.text.start, self.prefix_id, *prefix_ids, self.suffix_id, *suffix_ids, self.middle_id]

    def encode(self, cut: CutText, suffix_first: bool) -> list[int]:
        """Ids of a whole text, the token that ends a middle included.

        With the suffix first, prefix and middle are encoded as one text (Roziere et al. 2023, section 2.3).
        """
        if suffix_first:
            return [*self.prompt(cut.prefix + cut.middle, cut.suffix, suffix_first), self.end_id]
        return [*self.prompt(cut.prefix, cut.suffix), *self.text.encode_inner(cut.middle), self.end_id]


def _find_tokens(known: Mapping[str, int], name: str) -> InfillTokens:
    nearest = max(INFILL_TOKENS, key=lambda tokens: sum(token in known for token in tokens.all))
    missing = [token for token in nearest.all if token not in known]
    if missing:
        command = shlex.join(["camelid", "weights", "resize", name, "OUTPUT", "--add-tokens", *missing])
        raise UserError(
            f"{name}: to fill in, {nearest.models}'s tokens {', '.join(map(repr, missing))} are missing; take a model "
            f"that was trained to, or make a folder that has them and train it with `form: infill`: `{command}`"
        )
    return nearest
