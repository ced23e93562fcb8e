"""Llama 3's `tokenizer.model` (tiktoken's format: a token and its rank a line) as a Hugging Face tokenizer."""

from base64 import b64decode
from pathlib import Path
from typing import Any

from camelid.errors import UserError

# How text is cut before tokens are made of it, and the names of the control tokens behind the last rank:
# github.com/meta-llama/llama-models, models/llama3/tokenizer.py. Llama 3.0 has reserved tokens where 3.1 has names.
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
NAMED = (
    "<|begin_of_text|>", "<|end_of_text|>", None, None, "<|finetune_right_pad_id|>", None, "<|start_header_id|>",
    "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>", "<|python_tag|>",
)  # fmt: skip
CONTROL_TOKENS = 256


def is_tiktoken_file(path: Path) -> bool:
    """Whether the file's first line is a token in base64 and its rank."""
    with path.open("rb") as file:
        words = file.readline(1000).split()
    try:
        return len(words) == 2 and words[1].isdigit() and bool(b64decode(words[0], validate=True))
    except ValueError:
        return False


def read_llama3_tokenizer(path: Path) -> Any:
    """Read the file; ids equal tiktoken's for every text.

    Raises:
        UserError: a line is not a token and its rank.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    ranks = _read_ranks(path)
    letters = _byte_letters()
    vocabulary = {"".join(letters[byte] for byte in token): rank for token, rank in ranks.items()}
    model = models.BPE(vocabulary, _merges(vocabulary), ignore_merges=True)
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(PATTERN), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    control = control_tokens()
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in control])
    bos = (control[0], tokenizer.token_to_id(control[0]))
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single=f"{bos[0]} $A", special_tokens=[bos]),
        ]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=control[0], eos_token=control[1])


def control_tokens() -> list[str]:
    """The control tokens in the order of their ids."""
    reserved = iter(f"<|reserved_special_token_{number}|>" for number in range(CONTROL_TOKENS))
    rest = (None,) * (CONTROL_TOKENS - len(NAMED))
    return [name or next(reserved) for name in (*NAMED, *rest)]


def _read_ranks(path: Path) -> dict[bytes, int]:
    ranks = {}
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            token, rank = line.split()
            ranks[b64decode(token, validate=True)] = int(rank)
        except ValueError:
            raise UserError(f"{path}:{number}: expected a token in base64 and its rank; copy the file again") from None
    return ranks


def _merges(vocabulary: dict[str, int]) -> list[tuple[str, str]]:
    """Every way to make a token of two others, the lowest rank first: what tiktoken does with ranks alone."""
    merges = []
    for token, rank in vocabulary.items():
        for cut in range(1, len(token)):
            left, right = token[:cut], token[cut:]
            if left in vocabulary and right in vocabulary:
                merges.append((rank, vocabulary[left], vocabulary[right], left, right))
    return [(left, right) for *_, left, right in sorted(merges)]


def _byte_letters() -> dict[int, str]:
    """The letter that stands for each byte in byte-level BPE (Radford et al. 2019, GPT-2's encoder.py)."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {byte: chr(256 + place) for place, byte in enumerate(others)}
