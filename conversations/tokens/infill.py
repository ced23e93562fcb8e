"""Infilling: the ids of a text with a hole, its sentinels set on ids, so that typed ones stay text.

Bavarian et al. 2022 (Efficient Training of Language Models to Fill in the Middle): prefix, suffix, middle (PSM), or
suffix first, then prefix and middle as one text (SPM, their variant 2), each part behind a token of its own.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tokenizers import Tokenizer

from camelid.errors import UserError
from conversations.tokens.implicit_blank import without_implicit_blank
from conversations.tokens.respell import control_tokens, new_mark, respell, spell_controls


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
    # huggingface.co/bigcode/starcoder, "Fill-in-the-middle"; StarCoder2 has the same.
    InfillTokens("StarCoder", "<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<|endoftext|>"),
    # Hui et al. 2024 (Qwen2.5-Coder technical report), file-level pre-training.
    InfillTokens("Qwen2.5-Coder", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|endoftext|>"),
    # github.com/deepseek-ai/DeepSeek-Coder, "Code Insertion"; the hole's token stands where the suffix begins.
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
        prefix_id, suffix_id, middle_id, end_id: of those tokens.

    Raises:
        UserError: it has none, or is not a fast one.
    """

    def __init__(self, tokenizer: Any) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise UserError(f"{tokenizer.name_or_path}: a fast tokenizer (tokenizer.json) is needed")
        known = tokenizer.get_vocab()
        self.tokens = _find_tokens(known, tokenizer.name_or_path)
        self.prefix_id, self.suffix_id, self.middle_id, self.end_id = (known[token] for token in self.tokens.all)
        adds_bos = tokenizer("", add_special_tokens=True)["input_ids"][:1] == [tokenizer.bos_token_id]
        self._begin: list[int] = [tokenizer.bos_token_id] if adds_bos else []
        backend = tokenizer.backend_tokenizer
        controls = {**control_tokens(backend), **{token: known[token] for token in self.tokens.all}}
        self._first = respell(backend, spell_controls(controls, new_mark()))
        self._inner = without_implicit_blank(self._first)

    @property
    def sentinels(self) -> frozenset[int]:
        """Ids that whoever asks puts between the parts; no model writes them."""
        return frozenset((self.prefix_id, self.suffix_id, self.middle_id))

    def prompt(self, prefix: str, suffix: str, suffix_first: bool = False) -> list[int]:
        """Ids up to where the middle begins; by default what PSM trains."""
        [prefix_ids], [suffix_ids] = _ids(self._first, [prefix]), _ids(self._inner, [suffix])
        return self._joined(prefix_ids, suffix_ids, suffix_first)

    def encode(self, cuts: Sequence[tuple[CutText, bool]]) -> list[list[int]]:
        """Ids of whole texts, the token that ends a middle included; on all cores, the tokenizer's own threads.

        With the suffix first, prefix and middle are encoded as one text (Roziere et al. 2023, section 2.3).

        Args:
            cuts: each text, and whether its suffix comes first.
        """
        heads = [cut.prefix + cut.middle if first else cut.prefix for cut, first in cuts]
        tails = ["" if first else cut.middle for cut, first in cuts]
        inner = _ids(self._inner, [*(cut.suffix for cut, _ in cuts), *tails])
        parts = zip(_ids(self._first, heads), inner[: len(cuts)], inner[len(cuts) :], cuts, strict=True)
        return [[*self._joined(head, suffix, first), *tail, self.end_id] for head, suffix, tail, (_, first) in parts]

    def _joined(self, head: list[int], suffix: list[int], suffix_first: bool) -> list[int]:
        if suffix_first:
            return [*self._begin, self.prefix_id, self.suffix_id, *suffix, self.middle_id, *head]
        return [*self._begin, self.prefix_id, *head, self.suffix_id, *suffix, self.middle_id]


def _ids(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    return [one.ids for one in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]


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
